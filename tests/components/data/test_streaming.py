"""Images of a version in a shared store are the same with few of its tars here, in any order they are read in."""

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from components.artifacts import ArtifactError, SharedStore, Store
from components.artifacts.folder import FolderStorage
from components.artifacts.streaming import HELD, AbsentFiles, StreamingStore
from components.data import (
    DatasetConfig,
    FolderSource,
    Loader,
    Samples,
    ShapesSource,
    ShardReader,
    ShardSet,
    Share,
    decoded_pixels,
    write_shards,
)
from components.data.forgetting import delete, forbid, holding
from components.data.prefetch import PrefetchingLoader, prefetching
from components.data.windows import Windows

TAR, WINDOW = 16 << 10, 3
LIMIT = 2 * WINDOW * TAR
DATASET = DatasetConfig(source=ShapesSource(images=200, raster_px=16), size=16, shard_bytes="16KiB")


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("remote")


@pytest.fixture(scope="module")
def whole(remote: Path, tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """The data version on the machine that made it."""
    return write_shards(DATASET, SharedStore(FolderStorage(remote), tmp_path_factory.mktemp("maker")))


def store_of(remote: Path, folder: Path, limit: int = LIMIT) -> StreamingStore:
    return StreamingStore(FolderStorage(remote), folder, limit)


def loader_of(shards: ShardSet) -> Loader | PrefetchingLoader:
    reader = ShardReader(shards, "train")
    pixels = decoded_pixels(shards, "train", shards.path / "none", 0)
    samples = Samples(pixels, reader.keys, shards.digest, None, Windows(reader.places, WINDOW))
    return prefetching(Loader(samples, Share(4), seed=3), samples, Share(4), 3)


def held_bytes(folder: Path) -> int:
    """Return the bytes of tars that are here, whole or half made; those that go while they are counted do not count."""
    found = 0
    for path in (folder / HELD).glob("*"):
        with suppress(FileNotFoundError):
            found += path.stat().st_size if path.stat().st_blocks else 0
    return found


def test_only_what_tells_of_the_images_is_brought(whole: ShardSet, remote: Path, tmp_path: Path) -> None:
    streamed = store_of(remote, tmp_path).get(ShardSet, whole.digest)
    assert streamed.model_dump() == whole.model_dump()
    assert not list(tmp_path.rglob("*.tar"))
    assert write_shards(DATASET, store_of(remote, tmp_path)).path == streamed.path
    for split in whole.splits:
        here, there = ShardReader(whole, split), ShardReader(streamed, split)
        assert there.keys == here.keys
        assert np.array_equal(there.images(range(len(there))), here.images(range(len(here))))
        assert list(there.said()) == list(here.said())
    assert 0 < held_bytes(tmp_path) <= LIMIT


def test_with_no_room_at_all_images_are_read_in_the_store(whole: ShardSet, remote: Path, tmp_path: Path) -> None:
    streamed = store_of(remote, tmp_path, limit=TAR // 2).get(ShardSet, whole.digest)
    here, there = ShardReader(whole, "train"), ShardReader(streamed, "train")
    assert np.array_equal(there.images(range(20)), here.images(range(20)))
    assert dict(islice(there.said(), 9)) == dict(islice(here.said(), 9))
    assert not list((tmp_path / HELD).glob("*.tar"))


def test_what_this_machine_made_or_has_whole_is_used_as_it_is(remote: Path, tmp_path: Path) -> None:
    store = store_of(remote, tmp_path)
    dataset = DATASET.model_copy(update={"source": ShapesSource(images=30, raster_px=16)})
    made = write_shards(dataset, store)
    assert AbsentFiles.of(made) is None
    assert store.get(ShardSet, made.digest).path == made.path
    made.verify()


def test_batches_are_those_of_a_whole_copy_and_tars_are_fetched_once_a_pass(
    whole: ShardSet, remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: Counter[str] = Counter()
    download = FolderStorage.download_file

    def counted(self: FolderStorage, key: str, path: Path, sha256: str | None = None) -> None:
        fetched[key] += 1
        download(self, key, path, sha256)

    streamed = store_of(remote, tmp_path).get(ShardSet, whole.digest)
    monkeypatch.setattr(FolderStorage, "download_file", counted)
    loaders = [loader_of(shards) for shards in (whole, streamed)]
    assert [type(one) for one in loaders] == [Loader, PrefetchingLoader]
    steps, tars = whole.splits["train"].samples // 4, len(whole.splits["train"].shards)
    here, there = (one.batches(0) for one in loaders)
    for ours, theirs in islice(zip(here, there, strict=True), steps):
        assert torch.equal(ours.images, theirs.images)
        assert held_bytes(tmp_path) <= LIMIT
    here.close()
    there.close()
    assert not [thread for thread in threading.enumerate() if thread.name in {"loader", "prefetch"}]
    assert max(fetched.values()) <= 2  # the first windows of the next pass are fetched ahead
    assert tars <= sum(fetched.values()) <= tars + 2 * WINDOW


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_bytes(bytes(path.stat().st_size)), "its sha256 is"),
        (lambda path: path.unlink(), "No such file"),
    ],
)
def test_a_tar_that_the_store_lacks_or_has_otherwise_ends_the_batches_in_words(
    spoil: Callable[[Path], object], words: str, tmp_path: Path
) -> None:
    dataset = DATASET.model_copy(update={"source": ShapesSource(images=60, raster_px=16)})
    made = write_shards(dataset, store_of(tmp_path / "remote", tmp_path / "maker"))
    streamed = store_of(tmp_path / "remote", tmp_path / "there").get(ShardSet, made.digest)
    for path in (tmp_path / "remote" / "shardset").rglob("train-000002.tar"):
        spoil(path)
    batches = loader_of(streamed).batches(0)
    with pytest.raises(OSError, match=words):
        list(islice(batches, made.splits["train"].samples))
    batches.close()
    assert not list((tmp_path / "there" / HELD).glob(".*.part"))


def test_a_version_that_grew_streams_from_all_that_hold_it(tmp_path: Path) -> None:
    (tmp_path / "pile").mkdir()
    pictures = list(ShapesSource(images=60, raster_px=16).items())
    dataset = DATASET.model_copy(update={"source": FolderSource(path=tmp_path / "pile")})
    for few in (pictures[:40], pictures[40:]):
        for item in few:
            (tmp_path / "pile" / item.name).write_bytes(item.content)
        grown = write_shards(dataset, store_of(tmp_path / "remote", tmp_path / "maker"))
    assert grown.holders
    there = store_of(tmp_path / "remote", tmp_path / "there")
    streamed = there.get(ShardSet, grown.digest)
    for split in grown.splits:
        here, elsewhere = ShardReader(grown, split), ShardReader(streamed, split)
        assert np.array_equal(here.images(range(len(here))), elsewhere.images(range(len(here))))
    (tmp_path / "pile" / "shape-000003.png").unlink()
    third = write_shards(dataset, there)
    assert third.growth is not None
    assert (third.growth.base, third.growth.encoded) == (grown.digest, 0)
    (tmp_path / "remote" / "shardset" / grown.holders[0] / "manifest.json").unlink()
    with pytest.raises(ArtifactError, match=f"needs files of {grown.holders[0]}, which is not there"):
        store_of(tmp_path / "remote", tmp_path / "third").get(ShardSet, grown.digest)


def test_a_version_the_store_has_no_more_is_not_found_and_its_outline_goes(tmp_path: Path) -> None:
    store = store_of(tmp_path / "remote", tmp_path / "maker")
    made = write_shards(DATASET.model_copy(update={"source": ShapesSource(images=30, raster_px=16)}), store)
    there = store_of(tmp_path / "remote", tmp_path / "there")
    streamed = there.get(ShardSet, made.digest)
    ShardReader(streamed, "train").image(0)
    held = holding([ShardReader(streamed, "train").keys[0]], Store.open(tmp_path / "maker", tmp_path))
    forbid(held, there, "asked for")
    delete(there, tmp_path / "there")
    assert there.by_digest(ShardSet, made.digest) is None
    assert not streamed.path.exists()
    assert not list((tmp_path / "there" / HELD).glob("*.tar"))
