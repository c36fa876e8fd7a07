"""What work costs when there is twice and four times as much of it, in things that can be counted: never in seconds."""

import os
import shutil
import time
from collections import Counter
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from components.artifacts import Artifact, SharedStore, Store
from components.artifacts.storage import FolderStorage
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
    ingest,
    layout,
    ledger,
    reader,
    scratch,
    texts,
    write_shards,
)
from tests.memory import peak_of

IMAGES = 150
TIMES = (1, 2, 4)
SIDE = 16
DECODED_BYTES = SIDE * SIDE * 3
BATCH = 8
"""Rows; the loader prepares two batches ahead."""


@pytest.fixture(scope="module")
def piles(tmp_path_factory: pytest.TempPathFactory) -> dict[int, FolderSource]:
    """Once, twice and four times so many pictures."""
    items = [item.content for item in ShapesSource(images=IMAGES * max(TIMES), raster_px=SIDE).items()]
    sources = {}
    for times in TIMES:
        folder = tmp_path_factory.mktemp(f"pile-{times}-")
        for number, content in enumerate(items[: IMAGES * times]):
            (folder / f"{number}.png").write_bytes(content)
        sources[times] = FolderSource(path=folder)
    return sources


@pytest.fixture(scope="module")
def sets(piles: dict[int, FolderSource], tmp_path_factory: pytest.TempPathFactory) -> dict[int, ShardSet]:
    """Their shards."""
    store = Store(tmp_path_factory.mktemp("store"))
    return {times: write_shards(_dataset(pile), store) for times, pile in piles.items()}


def _dataset(pile: FolderSource, shard_bytes: str = "64KiB") -> DatasetConfig:
    return DatasetConfig(source=pile, size=SIDE, shard_bytes=shard_bytes)


def _loader(shards: ShardSet, pixels) -> Loader:
    keys = ShardReader(shards, "train").keys
    return Loader(Samples(pixels, keys, shards.digest), Share(BATCH), seed=1, flip=True)


def _passes(shards: ShardSet, pixels, passes: int, pause_s: float = 0) -> None:
    """Take so many passes over a set's training images, with a pause after each batch."""
    with closing(_loader(shards, pixels).batches(0)) as batches:
        for _ in islice(batches, passes * len(pixels) // BATCH):
            time.sleep(pause_s)


def _slope(costs: dict[int, int], counts: dict[int, int]) -> float:
    """Return by how much a cost grows per image from the smallest to the largest pile."""
    least, most = min(TIMES), max(TIMES)
    return (costs[most] - costs[least]) / (counts[most] - counts[least])


def test_each_image_is_decoded_once_however_many_passes_are_taken(sets, tmp_path, monkeypatch):
    decoded = Counter()
    decode = reader.decode
    monkeypatch.setattr(reader, "decode", lambda content, name: decoded.update([name]) or decode(content, name))
    for shards in sets.values():
        decoded.clear()
        for _ in range(2):  # the second time as another process would
            _passes(shards, decoded_pixels(shards, "train", tmp_path, 2**30), 2)
        assert len(decoded) == decoded.total() == shards.splits["train"].samples


def test_bytes_read_to_stream_a_batch_depend_on_the_batch_and_not_on_the_set(sets, tmp_path, monkeypatch):
    read = Counter()
    pread = os.pread
    monkeypatch.setattr(
        os, "pread", lambda fd, size, offset: read.update(bytes=size, reads=1) or pread(fd, size, offset)
    )
    for shards in sets.values():
        read.clear()
        streamed = decoded_pixels(shards, "train", tmp_path / "none", 0)
        assert read["reads"] == 0  # opening reads the index alone
        numbers = np.linspace(0, len(streamed) - 1, BATCH).astype(int)
        streamed.take(numbers)
        assert read == {"reads": BATCH, "bytes": int(ShardReader(shards, "train")._index["bytes"][numbers].sum())}


def test_a_loader_holds_an_index_and_a_few_batches_however_many_images_there_are(sets, tmp_path):
    peaks, counts = {}, {}
    for times in (min(TIMES), *TIMES):  # what is made once is made in the first
        pixels = decoded_pixels(sets[times], "train", tmp_path, 0)
        counts[times] = len(pixels)
        # Paused, so that the thread is as far ahead as it may be each time, however busy the machine is.
        peaks[times] = peak_of(lambda pixels=pixels, times=times: _passes(sets[times], pixels, 1, pause_s=0.02))
    assert _slope(peaks, counts) < DECODED_BYTES / 2  # far from holding the images


@pytest.mark.slow
def test_sharding_holds_nothing_of_a_file_once_that_is_written_down(piles, tmp_path, monkeypatch):
    # Small blocks, of which each pile fills many: what grows then is what is kept of each file.
    monkeypatch.setattr(FolderSource, "listed_at_once", 16)
    monkeypatch.setattr(scratch, "_ROWS_AT_ONCE", 16)
    monkeypatch.setattr(ledger, "AT_ONCE", 16)
    monkeypatch.setattr(layout, "AT_ONCE", 16)
    monkeypatch.setattr(texts, "_HELD", 16)
    monkeypatch.setattr(ingest, "_CHUNK_ITEMS", 8)
    peaks = {}
    for times in (min(TIMES), *TIMES):  # what is imported for it is held for good
        dataset, store = _dataset(piles[times], "4MiB"), Store(tmp_path / f"{len(peaks)}-{times}")
        peaks[times] = peak_of(lambda dataset=dataset, store=store: write_shards(dataset, store))
        shutil.rmtree(store.root)
    assert _slope(peaks, {times: IMAGES * times for times in TIMES}) < 64  # less than a key, or a name
    assert max(peaks.values()) < 2**23  # nor is room set aside for files as large as they may be


class Pile(Artifact):
    """So many files."""


class Counting(FolderStorage):
    """A store that counts what it is asked."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked: Counter[str] = Counter()

    def exists(self, key: str) -> bool:
        self.asked["exists"] += 1
        return super().exists(key)

    def read_bytes(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        self.asked["read"] += 1
        return super().read_bytes(key, start, end)

    def put_if_absent(self, key: str, content: bytes) -> bool:
        self.asked["put"] += 1
        return super().put_if_absent(key, content)

    def upload_file(self, path: Path, key: str) -> None:
        self.asked["upload"] += 1
        super().upload_file(path, key)

    def download_file(self, key: str, path: Path, sha256: str | None = None) -> None:
        self.asked["download"] += 1
        super().download_file(key, path, sha256)

    def take(self) -> dict[str, int]:
        """Return what was asked since the last time."""
        asked, self.asked = dict(self.asked), Counter()
        return asked


def test_a_shared_store_is_asked_once_per_file_and_a_few_times_per_artifact(tmp_path):
    remote = Counting(tmp_path / "remote")
    here, there = (SharedStore(remote, tmp_path / name) for name in ("here", "there"))
    for files in (5, 10, 20):

        def write(draft: Path, files: int = files) -> dict[str, object]:
            for number in range(files):
                (draft / f"{number}").write_bytes(bytes(number))
            return {}

        inputs = {"files": files}
        here.materialise(Pile, inputs, write)
        assert remote.take() == {"exists": 3, "upload": files, "put": 1}
        assert here.find(Pile, inputs) is not None
        assert remote.take() == {}
        assert there.find(Pile, inputs) is not None
        assert remote.take() == {"exists": 3, "read": 1, "download": files}
