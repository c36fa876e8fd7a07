"""A split without some of its images is a split of the others, in their order."""

import numpy as np
import pytest

from components.data import Loader, Samples, ShardReader, ShardSet, Share, without


@pytest.fixture
def samples(shards_of_classes: ShardSet) -> Samples:
    reader = ShardReader(shards_of_classes, "train")
    return Samples(reader.images(range(len(reader))), reader.keys, shards_of_classes.digest, reader.labels)


def test_what_is_left_out_is_in_no_batch_and_all_else_is_in_each_pass(samples: Samples) -> None:
    unwanted = samples.keys[3::7]
    chosen = without(samples, unwanted)
    assert list(chosen.keys) == [key for key in samples.keys if key not in unwanted]
    assert chosen.labels is not None
    assert samples.labels is not None
    places = [samples.keys.index(key) for key in chosen.keys]
    assert chosen.labels.tolist() == samples.labels[places].tolist()
    count = len(chosen.keys)
    batches = Loader(chosen, Share(batch=count), seed=1).batches(0)
    loaded = next(batches).images
    batches.close()
    wanted = {samples.pixels.take(np.array([place]), axis=0).tobytes() for place in places}
    seen = ((loaded.permute(0, 2, 3, 1) + 1) * 127.5).round().byte().numpy()
    assert {one.tobytes() for one in seen} == wanted


def test_leaving_nothing_out_changes_no_batch(samples: Samples) -> None:
    one, other = (Loader(each, Share(batch=16), seed=1).batches(0) for each in (samples, without(samples, [])))
    assert all((next(one).images == next(other).images).all() for _ in range(5))
    one.close()
    other.close()


def test_leaving_all_out_says_what_to_do(samples: Samples) -> None:
    with pytest.raises(ValueError, match=r"all \d+ images to train on are near-copies of held-out ones; add data, or"):
        without(samples, samples.keys)
