"""Decoded pixels are the images, decoded once, whole or not there."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from components.artifacts import ArtifactError, Store
from components.data import (
    DatasetConfig,
    DecodedPixels,
    ShapesSource,
    ShardReader,
    ShardSet,
    StreamedPixels,
    decoded_pixels,
    write_shards,
)

BUDGET = 2**20


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    dataset = DatasetConfig(source=ShapesSource(images=200, raster_px=16), size=16, shard_bytes="64KiB")
    return write_shards(dataset, Store(tmp_path_factory.mktemp("store")))


def test_decoded_and_streamed_pixels_are_the_same_images(shards: ShardSet, tmp_path: Path) -> None:
    decoded = decoded_pixels(shards, "train", tmp_path, BUDGET)
    streamed = decoded_pixels(shards, "train", tmp_path / "none", 1000)
    assert isinstance(decoded, DecodedPixels)
    assert isinstance(streamed, StreamedPixels)
    assert not (tmp_path / "none").exists()
    assert decoded.shape == streamed.shape == (len(streamed), 16, 16, 3)
    wanted = np.random.default_rng(0).integers(0, len(decoded), 150)
    for pixels in (decoded, streamed):
        taken = pixels.take(wanted)
        assert type(taken) is np.ndarray
        assert taken.flags.writeable
        assert np.array_equal(taken, np.asarray(decoded)[wanted])
        assert np.array_equal(taken, pixels.take(wanted, axis=0))
    assert np.array_equal(ShardReader(shards, "train").image(3), decoded[3])


def test_the_cache_is_read_only_and_shared(shards: ShardSet, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        several = list(pool.map(lambda _: decoded_pixels(shards, "train", tmp_path, BUDGET), range(4)))
    assert len({pixels.filename for pixels in several}) == 1
    assert all(np.array_equal(pixels, several[0]) for pixels in several)
    assert [path.suffix for path in sorted(tmp_path.iterdir()) if path.suffix != ".lock"] == [".pixels"]
    with pytest.raises(ValueError, match="read-only"):
        several[0][0] = 0


def test_a_cache_file_cut_short_is_made_again(shards: ShardSet, tmp_path: Path) -> None:
    path = Path(decoded_pixels(shards, "train", tmp_path, BUDGET).filename)
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    decoded_pixels(shards, "train", tmp_path, BUDGET)
    assert path.read_bytes() == whole


def test_all_that_is_decoded_stays_within_the_budget_and_what_is_in_use_stays(shards: ShardSet, tmp_path: Path) -> None:
    def there() -> set[str]:
        return {path.name.partition("-")[2].partition(".")[0] for path in tmp_path.glob("*.pixels")}

    sizes = {split: facts.samples * 16 * 16 * 3 for split, facts in shards.splits.items()}
    budget = sizes["train"] + sizes["test"]
    train = decoded_pixels(shards, "train", tmp_path, budget)
    for split in ("test", "validation", "test"):  # each of which takes the place of the other
        assert isinstance(decoded_pixels(shards, split, tmp_path, budget), DecodedPixels)
        assert there() == {"train", split}
    assert isinstance(decoded_pixels(shards, "validation", tmp_path, sizes["train"]), StreamedPixels)
    before = np.array(train[:3])
    del train
    assert isinstance(decoded_pixels(shards, "validation", tmp_path, sizes["validation"]), DecodedPixels)
    assert there() == {"validation"}
    assert np.array_equal(decoded_pixels(shards, "train", tmp_path, budget)[:3], before)


def test_decoding_that_fails_leaves_no_cache(tmp_path: Path) -> None:
    dataset = DatasetConfig(source=ShapesSource(images=20, raster_px=16), size=16)
    shards = write_shards(dataset, Store(tmp_path / "store"))
    tar = shards.path / "train-000000.tar"
    tar.write_bytes(bytes(tar.stat().st_size))
    with pytest.raises(ArtifactError, match="damaged"):
        decoded_pixels(shards, "train", tmp_path / "cache", BUDGET)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] in ([], [".lock"])


def test_an_empty_split_has_no_pixels(tmp_path: Path) -> None:
    dataset = DatasetConfig(source=ShapesSource(images=3, raster_px=16), size=16, split={"validation": 0, "test": 0})
    shards = write_shards(dataset, Store(tmp_path / "store"))
    assert shards.splits["test"].shards == ()
    assert len(decoded_pixels(shards, "test", tmp_path / "cache", BUDGET)) == 0
