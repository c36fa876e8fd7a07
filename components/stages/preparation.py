"""Preparation: from a pile of files to shards and the frozen evaluation set."""

from functools import partial

from components.config import CorruptionConfig
from components.data import CorruptionSet, DatasetConfig, ShardSet, write_corruption_set, write_shards
from components.stages.site import Site


def shard(dataset: DatasetConfig, site: Site) -> ShardSet:
    """Return the dataset's shards, writing only those the store lacks."""
    return write_shards(dataset, site.store, progress=partial(site.progress, "shard"))


def corrupt(shards: ShardSet, corruption: CorruptionConfig, seed: int, site: Site) -> CorruptionSet:
    """Return the frozen evaluation set."""
    return write_corruption_set(shards, corruption.frozen, corruption.mix, seed, site.store)
