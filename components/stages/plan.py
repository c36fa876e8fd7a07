"""Plan: what a run would do and what it would reuse, without doing any of it."""

from collections.abc import Iterator
from typing import Literal

from components.artifacts import Store
from components.config import ModelConfig, RunConfig
from components.data import ShardSet, find_corruption_set, plan_shards
from components.evaluation.yardstick import Yardstick, chosen, yardsticks
from components.models.summary import count_parameters, multiply_adds
from components.section import Section
from components.stages.candidate import Checkpoint
from components.stages.inputs import checkpoint_inputs
from components.stages.pinned import in_force, pinned_shards


class Step(Section):
    """One stage of a run."""

    stage: str
    state: Literal["reuse", "run"]
    facts: str
    """Counts and sizes, in words."""


def plan(run: RunConfig, store: Store) -> list[Step]:
    """Return the steps of a run in order.

    Raises:
        ValueError: The source is not there, or an evaluation set is asked for that is not.
        ArtifactError: The shards of the pinned evaluation set are gone.
    """
    return list(_steps(run, store))


def _steps(run: RunConfig, store: Store) -> Iterator[Step]:
    shards, files = plan_shards(run.dataset, store)
    yield _shard_step(run, shards, files)
    pinned = _yardstick(run, shards, store)
    yield _yardstick_step(run, pinned)
    if run.corruption is not None:
        frozen = run.corruption.frozen
        held = pinned_shards(pinned, store) if pinned else shards
        found = find_corruption_set(held, frozen, run.corruption.mix, run.seed, store) if held else None
        bins = f" in {len(frozen.bins) - 1} bins of missing area" if run.corruption.mix.masks else ""
        facts = f"{frozen.images:,} test images{bins}"
        yield Step(stage="corrupt", state="reuse" if found else "run", facts=facts)
    for name, model in run.models.items():
        inputs = checkpoint_inputs(model, run.corruption, run.seed, shards) if shards else None
        checkpoint = store.find(Checkpoint, inputs) if inputs else None
        facts = _facts(run, model, shards, files)
        yield Step(stage=f"train {name}", state="reuse" if checkpoint else "run", facts=facts)


def _shard_step(run: RunConfig, shards: ShardSet | None, files: int | None) -> Step:
    size = f"{run.dataset.size} x {run.dataset.size} px"
    if shards is None:
        count = "files not counted before they are read" if files is None else f"{files:,} files"
        return Step(stage="shard", state="run", facts=f"{count}, to {size}")
    splits = ", ".join(f"{name} {split.samples:,}" for name, split in shards.splits.items())
    stored = sum(shard.bytes for split in shards.splits.values() for shard in split.shards)
    return Step(
        stage="shard", state="reuse", facts=f"{shards.accepted:,} images ({splits}), {stored / 1e6:.1f} MB, {size}"
    )


def _yardstick(run: RunConfig, shards: ShardSet | None, store: Store) -> Yardstick | None:
    """Return the pinned evaluation set that will decide; before the data is read, the one that would if it grew."""
    if shards is None:
        return chosen(yardsticks(store, run.name), run.dataset, run.evaluation_set)
    return in_force(run, shards, store)


def _yardstick_step(run: RunConfig, pinned: Yardstick | None) -> Step:
    if pinned is not None:
        return Step(stage="yardstick", state="reuse", facts=f"{pinned.name}: {pinned.facts}")
    pins = "not pinned: evaluation_set is fresh" if run.evaluation_set == "fresh" else "pinned as a new evaluation set"
    return Step(stage="yardstick", state="run", facts=f"the held-out images of today's data, {pins}")


def _facts(run: RunConfig, model: ModelConfig, shards: ShardSet | None, files: int | None) -> str:
    recipe = model.recipe.resolved(shards.splits["train"]) if shards else model.recipe
    network = recipe.serving_network(run.dataset.size)
    cost = multiply_adds(network, *recipe.example(run.dataset.size))
    execution = model.execution
    images = _training_images(run, shards, files)
    decisions = () if images is None else model.recipe.decisions(images)
    return (
        f"{model.training.images:,} images, batch {model.training.batch}, processes {execution.processes}, hosts "
        f"{execution.nodes}; {count_parameters(network) / 1e6:.2f} M parameters, "
        f"{cost / 1e6:.0f} M multiply-adds an image{''.join(f'; {one}' for one in decisions)}"
    )


def _training_images(run: RunConfig, shards: ShardSet | None, files: int | None) -> int | None:
    """Return how many images there are to train on: before the files are read, about as many as will be."""
    if shards is not None:
        return shards.splits["train"].samples
    split = run.dataset.split
    return None if files is None else round(files * (1 - split.validation - split.test))
