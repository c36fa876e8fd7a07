"""Preparation: from a pile of files to shards, and to the held-out images on which models are judged."""

from functools import partial

from components.artifacts import ArtifactError, Store
from components.config import CorruptionConfig
from components.data import CorruptionSet, DatasetConfig, ShardReader, ShardSet, write_corruption_set, write_shards
from components.evaluation.yardstick import (
    EvaluationSetChoice,
    PinnedVersion,
    Yardstick,
    begin,
    chosen,
    fitting,
    yardsticks,
)
from components.section import Section, digest_of
from components.stages.site import Site


class EvaluationSet(Section):
    """Held-out images that models are measured on and, for those that mend, damage frozen on some of them."""

    shards: ShardSet
    """Its split `test` is what is held out; its split `train` is what baselines may know."""
    corruptions: CorruptionSet | None
    """The damaged images; None where no model mends."""
    pinned: Yardstick | None
    """The version that it is; None for the held-out images of a night's own data."""

    @property
    def digest(self) -> str:
        """Equal exactly where the same images and the same damage are measured on, whatever the set is called."""
        return digest_of([self.shards.digest, self.corruptions.digest if self.corruptions else None])

    @property
    def name(self) -> str:
        """What people and reasons call it."""
        return self.pinned.name if self.pinned else "today's data"

    @property
    def facts(self) -> str:
        """Return what it is, in words."""
        if self.pinned is not None:
            return self.pinned.facts
        return (
            f"{self.shards.splits['test'].samples:,} held-out images of {self.shards.size} px, of the night's own data"
        )


class EvaluationSets(Section):
    """What models are judged on."""

    yardstick: EvaluationSet
    """What decides, and what nights are compared on."""
    fresh: EvaluationSet | None
    """The held-out images of today's data; None where they are the yardstick's."""

    @property
    def today(self) -> EvaluationSet:
        """Return the held-out images of today's data."""
        return self.fresh or self.yardstick


def shard(dataset: DatasetConfig, site: Site) -> ShardSet:
    """Return the dataset's shards, writing only those the store lacks."""
    return write_shards(dataset, site.store, progress=partial(site.progress, "shard"))


def corrupt(shards: ShardSet, corruption: CorruptionConfig, seed: int, site: Site) -> CorruptionSet:
    """Return the frozen damage on the test images of `shards`."""
    return write_corruption_set(shards, corruption.frozen, corruption.mix, seed, site.store)


def evaluation_sets(
    run: str,
    choice: EvaluationSetChoice,
    dataset: DatasetConfig,
    corruption: CorruptionConfig | None,
    seed: int,
    shards: ShardSet,
    site: Site,
) -> EvaluationSets:
    """Return what models are judged on, pinning the run's first evaluation set if it has none that serves.

    A pinned set serves while the options that decide what is held out stay, and while today's data holds any of its
    images; data without a single one of them is another data set.

    Args:
        run: Name of the run; its evaluation sets are numbered.
        choice: Which of them decides.
        dataset: Options of the dataset.
        corruption: Damage to freeze, for models that mend.
        seed: Seed of the damage.
        shards: Today's data.
        site: Where the run happens.

    Raises:
        ValueError: A version is asked for that is not there, or has too few images for `corruption.frozen`.
        ArtifactError: The shards of the pinned version are gone.
    """
    if choice == "fresh" or (choice == "pinned" and not shards.splits["test"].samples):
        return EvaluationSets(yardstick=_set_of(shards, corruption, seed, None, site), fresh=None)
    pinned = in_force(run, choice, dataset, shards, site.store)
    if pinned is None:
        _set_of(shards, corruption, seed, None, site)  # first, for what cannot be used is not to be pinned
        strangers = {one.shards for one in fitting(yardsticks(site.store, run), dataset)}
        pinned = begin(site.store, run, dataset, shards, strangers)
    held = pinned_shards(pinned, site.store)
    is_same = held.splits["test"] == shards.splits["test"]  # byte for byte
    return EvaluationSets(
        yardstick=_set_of(held, corruption, seed, pinned, site),
        fresh=None if is_same else _set_of(shards, corruption, seed, None, site),
    )


def in_force(
    run: str, choice: EvaluationSetChoice, dataset: DatasetConfig, shards: ShardSet, store: Store
) -> Yardstick | None:
    """Return the pinned version that judges models of today's `shards`; None if the run has none that serves.

    Raises:
        ValueError: A version is asked for by number that is not there.
        ArtifactError: The shards of the pinned version are gone.
    """
    pinned = chosen(yardsticks(store, run), dataset, choice)
    if pinned is None or isinstance(choice, PinnedVersion):
        return pinned
    keys = (ShardReader(one, "test").keys for one in (pinned_shards(pinned, store), shards))
    return None if set(next(keys)).isdisjoint(next(keys)) else pinned


def pinned_shards(pinned: Yardstick, store: Store) -> ShardSet:
    """Return the shards whose test images were pinned.

    Raises:
        ArtifactError: The store lacks them.
    """
    held = store.by_digest(ShardSet, pinned.shards)
    if held is None:
        raise ArtifactError(
            f"{pinned.name} is made of the shards {pinned.shards}, which the store lacks; bring them back, or pin "
            "today's data: kintsugi yardstick CONFIG --renew"
        )
    return held


def _set_of(
    shards: ShardSet, corruption: CorruptionConfig | None, seed: int, pinned: Yardstick | None, site: Site
) -> EvaluationSet:
    try:
        damaged = corrupt(shards, corruption, seed, site) if corruption else None
    except ValueError as error:
        if pinned is None:
            raise
        raise ValueError(f"{pinned.name}: {error}; kintsugi yardstick CONFIG --renew pins today's data") from error
    return EvaluationSet(shards=shards, corruptions=damaged, pinned=pinned)
