"""Changes: by which images two data sets differ, from their indexes alone."""

from collections.abc import Iterator
from heapq import merge
from itertools import pairwise, zip_longest

import numpy as np
from jaxtyping import Shaped

from components.data.reader import ShardReader
from components.data.shardset import ShardSet
from components.section import Section


class Changes(Section):
    """How many images one data set has that another has not. An altered image is one gone and one new."""

    new: int
    """Images that only the later one has."""
    gone: int
    """Images that only the earlier one has."""
    same: int
    """Images that both have, with the same pixels and of the same class."""

    @property
    def share(self) -> float:
        """Images that only one has, as a share of all that either has: 0 for equal sets, 1 where none is in both."""
        return (self.new + self.gone) / max(1, self.new + self.gone + self.same)

    @property
    def facts(self) -> str:
        """What it is, in words."""
        return f"{self.new:,} images new and {self.gone:,} gone, {self.share:.2%} of all"


def changed(earlier: ShardSet, later: ShardSet) -> Changes:
    """Return by which images `later` differs from `earlier`, over all their splits.

    Raises:
        ArtifactError: A shard of either is missing.
    """
    same = sum(1 for one, other in pairwise(merge(_images(earlier), _images(later))) if one == other)
    return Changes(new=later.accepted - same, gone=earlier.accepted - same, same=same)


def holds_same(one: ShardSet, other: ShardSet, split: str) -> bool:
    """Return whether a split of two data sets holds the same images, stored in the same way, of the same classes.

    Raises:
        ArtifactError: A shard of either is missing.
    """
    if one.splits[split] == other.splits[split]:
        return True
    if one.splits[split].classes != other.splits[split].classes:
        return False
    pairs = zip_longest(_stored(one, split), _stored(other, split))
    return all(left is not None and right is not None and np.array_equal(left, right) for left, right in pairs)


def _images(shards: ShardSet) -> Iterator[bytes]:
    """Yield in order what tells the images from each other: keys, behind which the class stands where it has one."""
    return merge(*(_named(shards, split) for split in shards.splits))


def _named(shards: ShardSet, split: str) -> Iterator[bytes]:
    reader = ShardReader(shards, split)
    labels, names = reader.labels, [name.encode() for name in shards.splits[split].classes]
    for number, key in enumerate(reader.keys):
        yield key.encode() + (b"" if labels is None else names[labels[number]])


def _stored(shards: ShardSet, split: str) -> Iterator[Shaped[np.ndarray, " some"]]:
    """Yield the images' keys and how many bytes each takes, some at a time, and then the numbers of their classes."""
    reader = ShardReader(shards, split)
    yield from reader.stored
    if reader.labels is not None:
        yield reader.labels
