"""Test images drawn by lot and damaged, in partitions that an executor works on."""

import json
from collections.abc import Iterator, Sequence
from heapq import nsmallest
from typing import NamedTuple

import numpy as np

from components.corruption import CorruptionMix
from components.data.reader import ShardReader, decode_of
from components.data.shardset import ShardSet
from components.data.tars import Sample
from components.executors import ExecutorConfig, Packed
from components.pictures.encoding import png
from components.seeding import numpy_generator, stream_key

SUFFIXES = ("image.png", "mask.png", "corrupted.png", "recipe.json")
_AT_ONCE = 16
"""Images of a partition."""

Area = tuple[float, float] | None
"""The range (low, high] of missing area, as fractions; None: the mix's own."""


class _Lot(NamedTuple):
    """What fell to an image: the number and range of its area bin. `name` is for what is said should it be damaged."""

    key: str
    bin: int
    area: Area
    name: str


def damaged_samples(
    shards: ShardSet, images: int, areas: Sequence[Area], mix: CorruptionMix, seed: int, executor: ExecutorConfig
) -> Iterator[Sample]:
    """Yield test images with their damage, sorted by key.

    Args:
        shards: The dataset.
        images: How many of its test images.
        areas: Ranges that equally many of them fall into.
        mix: What may befall them.
        seed: Decides, with their keys, which they are and what befalls them.
        executor: Who does it.
    """
    reader = ShardReader(shards, "test")
    keys = reader.keys
    drawn = nsmallest(images, range(len(reader)), key=lambda number: stream_key(seed, "frozen", keys[number]))
    bin_of = {number: place % len(areas) for place, number in enumerate(drawn)}
    numbers = sorted(bin_of)

    def partitions() -> Iterator[tuple[None, tuple[object, ...]]]:
        for start in range(0, len(numbers), _AT_ONCE):
            part = numbers[start : start + _AT_ONCE]
            contents, names = reader.contents(part)
            named = zip(part, names, strict=True)
            lots = [_Lot(keys[one], bin_of[one], areas[bin_of[one]], name) for one, name in named]
            yield None, (mix, seed, shards.size, Packed.of(contents), lots)

    with executor.open() as crew:
        for _, samples in crew.each(_damaged, partitions()):
            yield from samples


def _damaged(mix: CorruptionMix, seed: int, size: int, contents: Packed, lots: Sequence[_Lot]) -> list[Sample]:
    samples = []
    for content, lot in zip(contents.pieces(), lots, strict=True):
        image = decode_of(content, lot.name, size)
        damaged = mix.corrupt(image, numpy_generator(seed, "frozen", lot.key, lot.bin), area=lot.area)
        recipe = {**damaged.recipe, "bin": lot.bin, "missing_fraction": float(damaged.missing.mean())}
        parts = (
            png(image),
            png(damaged.missing.astype(np.uint8) * np.uint8(255)),
            png(damaged.image),
            json.dumps(recipe, sort_keys=True, separators=(",", ":"), allow_nan=False).encode(),
        )
        samples.append(Sample(lot.key, dict(zip(SUFFIXES, parts, strict=True))))
    return samples
