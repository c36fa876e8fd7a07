"""Changes: by which images two data sets differ, from their indexes alone."""

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
    before, now = _images(earlier), _images(later)
    same = len(np.intersect1d(before, now, assume_unique=True))
    return Changes(new=len(now) - same, gone=len(before) - same, same=same)


def holds_same(one: ShardSet, other: ShardSet, split: str) -> bool:
    """Return whether a split of two data sets holds the same images, stored in the same way, of the same classes.

    Raises:
        ArtifactError: A shard of either is missing.
    """
    if one.splits[split] == other.splits[split]:
        return True
    if one.splits[split].classes != other.splits[split].classes:
        return False
    left, right = ShardReader(one, split), ShardReader(other, split)
    is_stored_alike = np.array_equal(left.stored, right.stored)
    return is_stored_alike and np.array_equal(_named(one, split), _named(other, split))


def _images(shards: ShardSet) -> Shaped[np.ndarray, " images"]:
    """Return what tells the images from each other, each once: keys, behind which the class stands where it has one."""
    return np.concatenate([_named(shards, split) for split in shards.splits])


def _named(shards: ShardSet, split: str) -> Shaped[np.ndarray, " images"]:
    reader = ShardReader(shards, split)
    keys = reader.packed_keys
    if reader.labels is None or not len(keys):
        return keys
    classes = np.array([name.encode() for name in shards.splits[split].classes])
    return np.strings.add(keys, classes[reader.labels])
