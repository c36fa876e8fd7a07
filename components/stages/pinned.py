"""Pinned: which pinned evaluation set judges the models of today's data, and the shards that it is made of."""

from components.artifacts import ArtifactError, Store
from components.config import RunConfig
from components.data import ShardReader, ShardSet
from components.data.forgotten import Forgotten
from components.evaluation.yardstick import PinnedVersion, Yardstick, chosen, yardsticks


def in_force(run: RunConfig, shards: ShardSet, store: Store) -> Yardstick | None:
    """Return the pinned version that judges models of today's `shards`; None if the run has none that serves.

    One serves no more when today's data holds none of its images, or when one of its images is to be forgotten.

    Raises:
        ValueError: A version is asked for by number that is not there.
        ArtifactError: The shards of the pinned version are gone.
    """
    pinned = chosen(yardsticks(store, run.name), run.dataset, run.evaluation_set)
    if pinned is None or isinstance(run.evaluation_set, PinnedVersion):
        return pinned
    if pinned.shards in Forgotten.of(store).versions:
        return None
    keys = (ShardReader(one, "test").keys for one in (pinned_shards(pinned, store), shards))
    return None if set(next(keys)).isdisjoint(next(keys)) else pinned


def pinned_shards(pinned: Yardstick, store: Store) -> ShardSet:
    """Return the shards whose test images were pinned.

    Raises:
        ArtifactError: The store lacks them.
    """
    held = store.by_digest(ShardSet, pinned.shards)
    if held is None:
        lack = (
            "were deleted, for they held images that are forgotten;"
            if pinned.shards in Forgotten.of(store).versions
            else "the store lacks; bring them back, or"
        )
        raise ArtifactError(
            f"{pinned.name} is made of the shards {pinned.shards}, which {lack} pin today's data: kintsugi yardstick "
            "CONFIG --renew"
        )
    return held
