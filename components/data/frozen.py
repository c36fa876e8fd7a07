"""CorruptionSet: test images damaged once and for all, so that every model mends the same pictures."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
from jaxtyping import Bool, Int64
from pydantic import Field, model_validator

from components.artifacts import Artifact, ArtifactError, Store
from components.corruption import CorruptionMix
from components.data.damaged import SUFFIXES, damaged_samples
from components.data.reader import Picture, Pictures, decode
from components.data.shardset import ShardFacts, ShardSet
from components.data.tars import members, write_tars
from components.executors import LOCAL, ExecutorConfig
from components.section import Section

# Raised whenever equal inputs would give other files.
_CODE = 2
_SHARD_BYTES = 256 * 2**20


class FrozenSetConfig(Section):
    """How many test images are damaged for evaluation, and how badly."""

    images: int = Field(default=300, ge=1)
    """Number of test images, each used once; a multiple of the number of bins."""
    bins: tuple[float, ...] = Field(default=(0.01, 0.1, 0.2, 0.3, 0.4, 0.5), min_length=2)
    """Edges of the bins of missing area, as fractions of the image; as many images fall into each (low, high]. Not
    used by a mix without masks."""

    @model_validator(mode="after")
    def _even_bins(self) -> Self:
        if any(low >= high for low, high in pairwise(self.bins)) or self.bins[0] < 0 or self.bins[-1] > 1:
            raise ValueError(f"bins {self.bins}: expected rising fractions between 0 and 1")
        if self.images % (len(self.bins) - 1):
            raise ValueError(f"images {self.images}: expected a multiple of the {len(self.bins) - 1} bins")
        return self


class CorruptionSet(Artifact):
    """Tars with KEY.image.png, KEY.mask.png (255 where missing), KEY.corrupted.png and KEY.recipe.json."""

    samples: int
    """Number of images."""
    size: int
    """Side of every image, in pixels."""
    seed: int
    """Seed of the damage."""
    bins: tuple[float, ...]
    """Edges of the bins of missing area, as fractions; empty where the mix has no masks."""
    counts: tuple[int, ...]
    """Images per bin."""
    shardset: str
    """Digest of the ShardSet whose test split was damaged."""
    shards: tuple[ShardFacts, ...]
    """The tars, in order."""

    @classmethod
    def belongs_to(cls, manifest: Mapping[str, Any]) -> frozenset[str]:
        """Return the digest of the images that are damaged: as long as models are judged on these, on this damage."""
        return frozenset({manifest["fields"]["shardset"]})


@dataclass(frozen=True)
class FrozenSample:
    """One damaged image; `recipe` says how, with its area bin's number as `bin` and its `missing_fraction`."""

    key: str
    image: Picture
    missing: Bool[np.ndarray, "height width"]
    corrupted: Picture
    recipe: dict[str, Any]


@dataclass(frozen=True)
class FrozenImages:
    """A whole CorruptionSet in memory, sorted by key."""

    keys: list[str]
    images: Pictures
    """The truth."""
    missing: Bool[np.ndarray, "images height width"]
    """True where missing."""
    corrupted: Pictures
    """What a model is shown."""
    recipes: list[dict[str, Any]]
    bins: Int64[np.ndarray, " images"]
    """Number of each image's area bin, from 0."""


def demand_test_images(frozen: FrozenSetConfig, shards: ShardSet) -> None:
    """Check that there are as many test images as are to be damaged.

    Raises:
        ValueError: There are fewer.
    """
    available = shards.splits["test"].samples
    if available < frozen.images:
        raise ValueError(
            f"corruption.frozen.images: {frozen.images:,} images are to be frozen, but the test split has "
            f"{available:,}; ask for fewer, raise dataset.split.test or add data"
        )


def write_corruption_set(
    shards: ShardSet,
    frozen: FrozenSetConfig,
    mix: CorruptionMix,
    seed: int,
    store: Store,
    executor: ExecutorConfig = LOCAL,
) -> CorruptionSet:
    """Return the damaged test images, made only if the store lacks them.

    Which images are taken, and what befalls each, depends on the seed and the images' keys, so growing data keeps
    most of them. Who does it, `executor`, changes nothing.

    Raises:
        ValueError: The test split has fewer images than are asked for, or `mix` cannot fill a bin.
    """
    demand_test_images(frozen, shards)

    def write(draft: Path) -> Mapping[str, Any]:
        ranges = _ranges(frozen, mix)
        samples = damaged_samples(shards, frozen.images, ranges, mix, seed, executor)
        tars = write_tars(samples, draft, "test", _SHARD_BYTES)
        return {
            "samples": frozen.images,
            "size": shards.size,
            "seed": seed,
            "bins": frozen.bins if mix.masks else (),
            "counts": (frozen.images // len(ranges),) * len(ranges),
            "shardset": shards.digest,
            "shards": tars,
        }

    return store.materialise(CorruptionSet, _inputs(shards, frozen, mix, seed), write)


def find_corruption_set(
    shards: ShardSet, frozen: FrozenSetConfig, mix: CorruptionMix, seed: int, store: Store
) -> CorruptionSet | None:
    """Return what `write_corruption_set` would reuse, or None."""
    return store.find(CorruptionSet, _inputs(shards, frozen, mix, seed))


def _inputs(shards: ShardSet, frozen: FrozenSetConfig, mix: CorruptionMix, seed: int) -> dict[str, Any]:
    return {"code": _CODE, "shards": shards.digest, "frozen": frozen, "mix": mix, "seed": seed}


def frozen_samples(corruptions: CorruptionSet) -> Iterator[FrozenSample]:
    """Yield the damaged images one by one, sorted by key.

    Raises:
        ArtifactError: A tar does not hold what the writer put there.
    """
    for shard in corruptions.shards:
        path = corruptions.path / shard.name
        parts: dict[str, bytes] = {}
        with path.open("rb") as file:
            for member in members(path):
                file.seek(member.offset)
                key, _, suffix = member.name.partition(".")
                parts[suffix] = file.read(member.bytes)
                if len(parts) == len(SUFFIXES):
                    yield _sample(key, parts, path)
                    parts = {}


def read_corruption_set(corruptions: CorruptionSet) -> FrozenImages:
    """Return all damaged images at once.

    Raises:
        ArtifactError: A tar does not hold what the manifest says.
    """
    samples = list(frozen_samples(corruptions))
    if len(samples) != corruptions.samples:
        raise ArtifactError(f"{corruptions.path}: {len(samples)} images, the manifest says {corruptions.samples}")
    return FrozenImages(
        keys=[sample.key for sample in samples],
        images=np.stack([sample.image for sample in samples]),
        missing=np.stack([sample.missing for sample in samples]),
        corrupted=np.stack([sample.corrupted for sample in samples]),
        recipes=[sample.recipe for sample in samples],
        bins=np.array([sample.recipe["bin"] for sample in samples], np.int64),
    )


def _ranges(frozen: FrozenSetConfig, mix: CorruptionMix) -> list[tuple[float, float] | None]:
    """Return the ranges of missing area that equally many images fall into: one that is the mix's own without masks."""
    return [*pairwise(frozen.bins)] if mix.masks else [None]


def _sample(key: str, parts: Mapping[str, bytes], path: Path) -> FrozenSample:
    if set(parts) != set(SUFFIXES):
        raise ArtifactError(f"{path}, sample {key}: found {sorted(parts)}, expected {sorted(SUFFIXES)}")
    name = f"{path}, sample {key}"
    return FrozenSample(
        key=key,
        image=decode(parts["image.png"], name),
        missing=decode(parts["mask.png"], name)[..., 0] > 0,
        corrupted=decode(parts["corrupted.png"], name),
        recipe=json.loads(parts["recipe.json"]),
    )
