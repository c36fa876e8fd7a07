"""Grown from: the version that another grows from, and which of its tars stay."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64, Shaped, UInt16

from components.artifacts import ArtifactError
from components.data.memory import Memory
from components.data.rows_on_disk import read_rows
from components.data.shardset import ShardFacts, ShardSet, check_tar

SMALL_TARS = 8
"""A split has no more tars under half of `shard_bytes`: they are joined when one more would come."""


class DamagedBaseError(ArtifactError):
    """A tar of an earlier version, from which images were to be copied, is not what its manifest says."""


@dataclass(frozen=True, slots=True)
class Base:
    """The version that another grows from."""

    shards: ShardSet
    memory: Memory

    def index(self, split: str) -> Iterator[tuple[Shaped[np.ndarray, " some"], UInt16[np.ndarray, " some"] | None]]:
        """Yield where the split's images lie, some at a time, and the numbers of their classes, if there are any."""
        labels = self.shards.path / f"{split}.labels.npy"
        rows = read_rows(self.shards.path / f"{split}.index.npy")
        return zip(rows, read_rows(labels) if labels.is_file() else repeat(None), strict=False)

    def check(self, split: str, number: int) -> None:
        """Recompute the sha256 of a tar from which images are copied.

        Raises:
            DamagedBaseError: It is missing or altered.
        """
        shard = self.shards.splits[split].shards[number]
        try:
            check_tar(self.shards.tar(shard), shard)
        except ArtifactError as error:
            raise DamagedBaseError(str(error)) from error

    def image(self, split: str, number: int, start: int, size: int) -> bytes:
        """Return the stored bytes of an image from where it lies in a tar."""
        path: Path = self.shards.tar(self.shards.splits[split].shards[number])
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, size, start)
        finally:
            os.close(descriptor)

    def pointed(self, split: str, live: Int64[np.ndarray, " tars"]) -> Iterator[ShardFacts]:
        """Yield those of a split's tars in which images count, with how many these are now."""
        for shard, count in zip(self.shards.splits[split].shards, live.tolist(), strict=True):
            if count:
                changed = {
                    "samples": count,
                    "gone": shard.samples + shard.gone - count,
                    "holder": shard.holder or self.shards.digest,
                }
                yield shard.model_copy(update=changed)


def kept(
    facts: Sequence[ShardFacts], live: Int64[np.ndarray, " tars"], shard_bytes: int, *, is_more: bool
) -> Bool[np.ndarray, " tars"]:
    """Return which tars stay as they are.

    Those go of whose images more than half left; and all small ones, if there would be more than `SMALL_TARS` with the
    one that is to come (`is_more`). What still counts in them is copied into new tars.
    """
    held = np.array([shard.samples + shard.gone for shard in facts], np.int64)
    stay = 2 * live >= held
    small = stay & np.array([2 * shard.bytes < shard_bytes for shard in facts], bool) & (live > 0)
    if int(small.sum()) + (is_more or bool((live[~stay] > 0).any())) > SMALL_TARS:
        stay &= ~small
    return stay
