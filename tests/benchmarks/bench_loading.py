"""How fast images come out of shards: the first pass, later passes, photographs."""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import torch
import webdataset
from harness import Effort, Figure, Peer, Timed
from numpy.typing import NDArray
from pictures import shards

from components.data import DecodedPixels, ShardReader, ShardSet, StreamedPixels, decoded_pixels, sample_order

_BATCH = 256
_NO_LIMIT = 2**40


def figures(effort: Effort, folder: Path) -> Iterator[Figure]:
    """Yield the figures; decoding is compared as uint8, by one core each."""
    small = shards(folder, effort.of(4096, _BATCH), 32)
    photographs = shards(folder, effort.of(512, 64), 256)
    first = Timed("ours", _count(small), lambda: _first_pass(small, folder))
    yield Figure("first pass, 32 px", "images", first, _webdataset(small, goal=10), _same_pixels(small))
    later = decoded_pixels(small, "train", folder / "cache", _NO_LIMIT)
    yield Figure(
        "later passes, 32 px",
        "images",
        Timed("ours", 20 * _count(small), lambda: [_ordered_pass(later, number) for number in range(20)]),
        [*_webdataset(small, goal=100), Peer(_in_memory(later), 0.9)],
        _same_pixels(small),
    )
    streamed = Timed("ours", _count(photographs), lambda: _ordered_pass(StreamedPixels(_reader(photographs)), 0))
    yield Figure("photographs, 256 px", "images", streamed, _webdataset(photographs, 1.6), _same_pixels(photographs))


def _count(dataset: ShardSet) -> int:
    return dataset.splits["train"].samples


def _reader(dataset: ShardSet) -> ShardReader:
    return ShardReader(dataset, "train")


def _first_pass(dataset: ShardSet, folder: Path) -> None:
    """Decode into a cache that does not exist yet, and go through it once."""
    _ordered_pass(decoded_pixels(dataset, "train", Path(mkdtemp(dir=folder)), _NO_LIMIT), 0)


def _ordered_pass(pixels: DecodedPixels | StreamedPixels, number: int) -> int:
    order = sample_order(1, number, "benchmark", len(pixels))
    return sum(len(pixels.take(order[start : start + _BATCH])) for start in range(0, len(order), _BATCH))


def _in_memory(pixels: DecodedPixels) -> Timed:
    """Return the limit: rows of a tensor in memory, by an order that is drawn anew for each pass."""
    tensor = torch.from_numpy(np.array(pixels))

    def work() -> None:
        for number in range(20):
            order = torch.randperm(len(tensor), generator=torch.Generator().manual_seed(number))
            for part in order.split(_BATCH):
                tensor.index_select(0, part)

    return Timed("torch.index_select in memory", 20 * len(tensor), work)


def _webdataset(dataset: ShardSet, goal: float) -> list[Peer]:
    urls = [str(dataset.path / shard.name) for shard in dataset.splits["train"].shards]

    def opened(kind: str) -> webdataset.WebDataset:
        return webdataset.WebDataset(urls, shardshuffle=False).decode(kind).to_tuple("jpg")

    def documented() -> None:
        loader = torch.utils.data.DataLoader(opened("torchrgb").shuffle(1000), batch_size=_BATCH)
        _drained(loader, _count(dataset))

    def tuned() -> None:
        _drained(opened("torchrgb8").shuffle(1000).batched(_BATCH), _count(dataset))

    return [
        Peer(Timed("webdataset as documented", _count(dataset), documented)),
        Peer(Timed("webdataset tuned (uint8, batched in the pipeline)", _count(dataset), tuned), goal),
    ]


def _drained(batches: object, expected: int) -> None:
    found = sum(len(images) for (images,) in batches)
    assert found == expected, f"{found} images, expected {expected}"


def _same_pixels(dataset: ShardSet) -> Callable[[], str]:
    """Compare all images of both, in the shards' order."""

    def check() -> str:
        urls = [str(dataset.path / shard.name) for shard in dataset.splits["train"].shards]
        ours = _reader(dataset).images(np.arange(_count(dataset)))
        theirs = [image for (image,) in webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8").to_tuple("jpg")]
        difference = _largest_difference(ours, np.stack(theirs))
        assert difference <= 1, f"pixels differ by up to {difference}"
        return f"{len(ours):,} images of uint8 {ours.shape[1:]}, pixels differ by at most {difference} of 255"

    return check


def _largest_difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> int:
    return int(np.abs(one.astype(np.int16) - other.astype(np.int16)).max())
