"""Planning: what a run would do and what it would reuse, without doing any of it."""

from collections.abc import Iterator
from typing import Literal

from components.artifacts import Store
from components.config import ModelConfig, RunConfig
from components.data import ShardSet, find_corruption_set, plan_shards
from components.models.summary import count_parameters, multiply_adds
from components.section import Section
from components.stages.training import Checkpoint, training_inputs


class Step(Section):
    """One stage of a run."""

    stage: str
    state: Literal["reuse", "run"]
    facts: str
    """Counts and sizes, in words."""


def plan(run: RunConfig, store: Store) -> list[Step]:
    """Return the steps of a run in order.

    Raises:
        ValueError: The source is not there.
    """
    return list(_steps(run, store))


def _steps(run: RunConfig, store: Store) -> Iterator[Step]:
    shards, files = plan_shards(run.dataset, store)
    yield _shard_step(run, shards, files)
    if run.corruption is not None:
        frozen = run.corruption.frozen
        found = find_corruption_set(shards, frozen, run.corruption.mix, run.seed, store) if shards else None
        bins = f" in {len(frozen.bins) - 1} bins of missing area" if run.corruption.mix.masks else ""
        facts = f"{frozen.images:,} test images{bins}"
        yield Step(stage="corrupt", state="reuse" if found else "run", facts=facts)
    for name, model in run.models.items():
        inputs = training_inputs(model, run.corruption, run.seed, shards) if shards else None
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


def _facts(run: RunConfig, model: ModelConfig, shards: ShardSet | None, files: int | None) -> str:
    recipe = model.recipe.settled(shards.splits["train"]) if shards else model.recipe
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
