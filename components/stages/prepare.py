"""Prepare: from a pile of files to shards, and to the held-out images on which models are judged."""

from functools import partial

from components.artifacts import Store
from components.config import RunConfig
from components.data import ShardSet, holds_same, write_corruption_set, write_shards
from components.data.forgotten import Forgotten
from components.evaluation.yardstick import Yardstick, begin, fitting, yardsticks
from components.quality.copies import near_copies
from components.stages.candidate import Data, EvaluationSet
from components.stages.pinned import in_force, pinned_shards
from components.stages.site import Site


def shard(run: RunConfig, site: Site) -> ShardSet:
    """Return the dataset's shards, writing only those the store lacks."""
    return write_shards(run.dataset, site.store, partial(site.progress, "shard"), site.executor)


def prepare(run: RunConfig, shards: ShardSet, site: Site, *, judged: bool = False) -> Data:
    """Return what models are trained and judged on, pinning the run's first evaluation set if it has none that serves.

    A pinned set serves while the options that decide what is held out stay, and while today's data holds any of its
    images; data without a single one of them is another data set.

    Args:
        run: What was asked for.
        shards: Today's images.
        site: Where the run happens.
        judged: Whether models will be.

    Raises:
        ValueError: A version is asked for that is not there, or has too few images for `corruption.frozen`; or there
            are too few to train on, or to judge by.
        ArtifactError: The shards of the pinned version are gone.
    """
    demand_images(run, shards)
    yardstick, fresh = _evaluation_sets(run, shards, site)
    if judged:
        demand_held_out(run, yardstick)
    copies = near_copies(shards, site.store, site.executor) if run.dataset.near_copies == "left_out" else None
    return Data(
        shards=shards, yardstick=yardstick, fresh=fresh, corruption=run.corruption, seed=run.seed, copies=copies
    )


def demand_images(run: RunConfig, shards: ShardSet) -> None:
    """Raise ValueError where there are too few images to train a model, or to make a baseline beside it."""
    images, size = shards.splits["train"].samples, shards.size
    for name, model in run.models.items():
        try:
            model.recipe.check(size, images)
            model.evaluation.check(size, images)
        except ValueError as error:
            raise ValueError(f"model '{name}': {error}") from error


def demand_held_out(run: RunConfig, held_out: EvaluationSet) -> None:
    """Raise ValueError where a model would train for nothing, as there are too few images to judge it by."""
    images = held_out.shards.splits["test"].samples
    for name, model in run.models.items():
        try:
            model.evaluation.check_held_out(images)
        except ValueError as error:
            raise ValueError(f"model '{name}', {held_out.name}: {images} test images, but {error}") from error


def _evaluation_sets(run: RunConfig, shards: ShardSet, site: Site) -> tuple[EvaluationSet, EvaluationSet | None]:
    """Return what decides and, where that is not the held-out images of today's data, those."""
    if run.evaluation_set == "fresh" or (run.evaluation_set == "pinned" and not shards.splits["test"].samples):
        return _set_of(shards, None, run, site), None
    pinned = in_force(run, shards, site.store)
    if pinned is None:
        _set_of(shards, None, run, site)  # first, for what cannot be used is not to be pinned
        pinned = _pinned_anew(run, shards, site.store)
    held = pinned_shards(pinned, site.store)
    return _set_of(held, pinned, run, site), None if holds_same(held, shards, "test") else _set_of(
        shards, None, run, site
    )


def _pinned_anew(run: RunConfig, shards: ShardSet, store: Store) -> Yardstick:
    """Pin today's test images, for the first time, or since those pinned before cannot serve any more."""
    before = {one.shards for one in fitting(yardsticks(store, run.name), run.dataset)}
    if not before:
        return begin(store, run.name, run.dataset, shards)
    is_forgotten = not before.isdisjoint(Forgotten.of(store).versions)
    reason = "an image pinned before was forgotten" if is_forgotten else "the data holds no image pinned before"
    return begin(store, run.name, run.dataset, shards, before, reason)


def _set_of(shards: ShardSet, pinned: Yardstick | None, run: RunConfig, site: Site) -> EvaluationSet:
    """Return the test images of `shards` with their damage, which is frozen unless the store has it."""
    corruption, damaged = run.corruption, None
    try:
        if corruption is not None:
            damaged = write_corruption_set(
                shards, corruption.frozen, corruption.mix, run.seed, site.store, site.executor
            )
    except ValueError as error:
        if pinned is None:
            raise
        raise ValueError(f"{pinned.name}: {error}; kintsugi yardstick CONFIG --renew pins today's data") from error
    return EvaluationSet(shards=shards, corruptions=damaged, pinned=pinned)
