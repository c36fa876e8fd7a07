"""Plan: what a run would do and what it would reuse, without doing any of it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from components.artifacts import Store
from components.artifacts.streaming import AbsentFiles
from components.config import ModelConfig, RunConfig
from components.data import ShardSet, plan_shards
from components.data.frozen import demand_test_images
from components.evaluation.yardstick import Yardstick, chosen, yardsticks
from components.executors import LOCAL
from components.section import Section
from components.stages.candidate import Candidate, Data
from components.stages.costs import costs_of
from components.stages.diary import Diary
from components.stages.evaluate import looks_over
from components.stages.foresee import Foreseen, ask_registry, foresee, foresee_data, frozen
from components.stages.inputs import page_inputs
from components.stages.outcome import Page
from components.stages.pinned import in_force, pinned_shards
from components.stages.prepare import demand_held_out, demand_images
from components.workspace import Workspace

_OVER_PARTITIONS = ("shard", "corrupt")
"""Stages that an executor works on, besides the evaluation of some models."""
_DEVIATIONS = 5
"""The number of test images is binomial; it is above its mean by so many standard deviations in no pile there is."""


class Step(Section):
    """One stage of a run."""

    stage: str
    state: Literal["reuse", "run", "unknown", "skip"]
    """unknown: the registry would say it, and does not answer. skip: of a night that is not begun."""
    facts: str
    """Counts and sizes, in words."""


def plan(run: RunConfig, command: str, store: Store, home: Path) -> list[Step]:
    """Return the steps of a run in order.

    Args:
        run: What is asked for.
        command: What makes the run again, as its page says.
        store: Where its artifacts are.
        home: The workspace, which has the registry unless a server has it.

    Raises:
        ValueError: The source is not there, or an evaluation set is asked for that is not; or there are too few images
            to train on, or test images to damage, or will be; or who is to work on partitions cannot be reached.
        ArtifactError: The shards of the pinned evaluation set are gone.
    """
    shards, files = plan_shards(run.dataset, store)
    if shards is not None:
        demand_images(run, shards)
    pinned = _yardstick(run, shards, store)
    data = foresee_data(run, shards, pinned, store) if shards else None
    if data is not None:
        demand_held_out(run, data.yardstick)
    steps = [
        _shard_step(run, shards, files),
        *_night_step(run, shards, store),
        _yardstick_step(run, pinned),
        *_corrupt_step(run, shards, pinned, store),
    ]
    if shards is None and files is not None:
        _expect_test_images(run, files, judged=pinned is None)
    models = list(_models(run, data, store, home))
    for model in models:
        facts = _facts(run, model.candidate.config, shards, files, Workspace(home).cache)
        facts += _begins(run, model.candidate.name, data)
        steps += [_train_step(model, facts), _evaluate_step(model, shards), _promote_step(model)]
    looked = [f"evaluate {name}" for name, model in run.models.items() if looks_over(run.executor, model)]
    if any(step.state == "run" and step.stage in (*_OVER_PARTITIONS, *looked) for step in steps):
        steps = [*_executor_step(run), *steps]
    return [*steps, _publish_step(run, command, data, models, store)]


def _models(run: RunConfig, data: Data | None, store: Store, home: Path) -> Iterator[Foreseen]:
    """Yield what is there of each model. A registry that did not answer for one is not asked for the others."""
    silence = ""
    for name, config in run.models.items():
        model = Foreseen(Candidate(name, config)) if data is None else foresee(Candidate(name, config), data, store)
        if data is not None and model.candidate.evaluated is not None:
            asked = replace(model, silence=silence) if silence else ask_registry(model, data, run.name, store, home)
            model, silence = asked, asked.silence
        yield model


def _executor_step(run: RunConfig) -> Iterator[Step]:
    """Yield who works on what has to be done by partitions, where that is not this machine alone; asks them."""
    if run.executor != LOCAL:
        yield Step(stage="executor", state="run", facts=run.executor.describe())


def _night_step(run: RunConfig, shards: ShardSet | None, store: Store) -> Iterator[Step]:
    """Yield that the night is not worth its cost and why, where that can be told before its data is read."""
    why = None if shards is None else Diary(run, shards, store, run.name).why_skip()
    if why is not None:
        yield Step(stage="night", state="skip", facts=f"{why}; the rest follows with kintsugi run --regardless")


def _corrupt_step(run: RunConfig, shards: ShardSet | None, pinned: Yardstick | None, store: Store) -> Iterator[Step]:
    if run.corruption is not None:
        held = pinned_shards(pinned, store) if pinned else shards
        if held is not None:
            demand_test_images(run.corruption.frozen, held)
        found = frozen(run, held, store) if held else None
        bins = f" in {len(run.corruption.frozen.bins) - 1} bins of missing area" if run.corruption.mix.masks else ""
        facts = f"{run.corruption.frozen.images:,} test images{bins}"
        yield Step(stage="corrupt", state="reuse" if found else "run", facts=facts)


def _expect_test_images(run: RunConfig, files: int, *, judged: bool) -> None:
    """Raise ValueError where so many files will give too few test images, but by a miracle.

    Args:
        run: What is asked for.
        files: How many there are.
        judged: Whether models are judged by these test images, not by some that are pinned.
    """
    wanted = run.corruption.frozen.images if run.corruption else 0
    expected = files * run.dataset.split.test
    most = int(expected + _DEVIATIONS * expected**0.5)
    of_files = f"of {files:,} files about {expected:,.0f} become test images"
    if wanted > most:
        raise ValueError(
            f"corruption.frozen.images: {wanted:,} images are to be frozen, but {of_files}; "
            "ask for fewer, raise dataset.split.test or add data"
        )
    for name, model in run.models.items() if judged else ():
        try:
            model.evaluation.check_held_out(most)
        except ValueError as error:
            raise ValueError(f"model '{name}': {of_files}, but {error}") from error


def _train_step(model: Foreseen, facts: str) -> Step:
    candidate = model.candidate
    return Step(stage=f"train {candidate.name}", state="reuse" if candidate.checkpoint else "run", facts=facts)


def _evaluate_step(model: Foreseen, shards: ShardSet | None) -> Step:
    missing = [what for what, is_known in model.measured.items() if not is_known]
    if not model.measured:
        facts = "the model, once it is trained, and baselines"
    else:
        facts = f"to measure: {', '.join(missing)}" if missing else ", ".join(model.measured)
    if shards is not None:
        counts = (shards.splits[split].samples for split in ("train", "test"))
        facts = "; ".join([facts, *model.candidate.config.evaluation.remarks(*counts)])
    state: Literal["reuse", "run"] = "reuse" if model.candidate.evaluated else "run"
    return Step(stage=f"evaluate {model.candidate.name}", state=state, facts=facts)


def _promote_step(model: Foreseen) -> Step:
    candidate, promotion = model.candidate, model.candidate.promotion
    serving = "none in service yet" if model.champion is None else f"version {model.champion} in service"
    stage = f"promote {candidate.name}"
    if model.silence:
        return Step(stage=stage, state="unknown", facts=model.silence)
    if promotion is not None:
        return Step(stage=stage, state="reuse", facts=f"version {promotion.version}: {promotion.verdict}; {serving}")
    rule = f"judged by {candidate.config.promotion.metric}"
    if candidate.evaluated is None:
        return Step(stage=stage, state="run", facts=rule)
    registered = "not registered yet" if model.version is None else f"version {model.version}"
    return Step(stage=stage, state="run", facts=f"{registered}, {rule}; {serving}")


def _publish_step(run: RunConfig, command: str, data: Data | None, models: Sequence[Foreseen], store: Store) -> Step:
    if any(model.silence for model in models):
        return Step(stage="publish", state="unknown", facts="follows from the promotions")
    candidates = [model.candidate for model in models]
    if data is None or not all(candidate.promotion for candidate in candidates):
        return Step(stage="publish", state="run", facts="one page")
    page = store.find(Page, page_inputs(run, command, data, candidates))
    return Step(stage="publish", state="reuse" if page else "run", facts=page.file_name if page else "one page")


def _shard_step(run: RunConfig, shards: ShardSet | None, files: int | None) -> Step:
    size = f"{run.dataset.size} x {run.dataset.size} px"
    if shards is None:
        count = "files not counted before they are read" if files is None else f"{files:,} files"
        return Step(stage="shard", state="run", facts=f"{count}, to {size}")
    splits = ", ".join(f"{name} {split.samples:,}" for name, split in shards.splits.items())
    stored = sum(shard.bytes for split in shards.splits.values() for shard in split.shards)
    facts = f"{shards.accepted:,} images ({splits}), {stored / 1e6:.1f} MB, {size}"
    if run.streaming_cache is not None and AbsentFiles.of(shards) is not None:
        facts += f"; fetched as needed, at most {run.streaming_cache / 1e6:,.1f} MB held here"
    return Step(stage="shard", state="reuse", facts=facts)


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


def _facts(run: RunConfig, model: ModelConfig, shards: ShardSet | None, files: int | None, cache: Path) -> str:
    recipe = model.recipe.resolved(shards.splits["train"]) if shards else model.recipe
    execution = model.execution
    rows = model.training.batch // (execution.processes * execution.nodes * model.training.accumulate)
    costs = costs_of(recipe, model.training.size_seen(run.dataset.size), rows, cache)
    memory = (
        "" if costs.training_bytes is None else f", about {costs.training_bytes / 1e6:,.0f} MB a process in training"
    )
    images = _training_images(run, shards, files)
    decisions = () if images is None else model.recipe.decisions(images)
    return (
        f"{model.training.images:,} images, batch {model.training.batch}, processes {execution.processes}, hosts "
        f"{execution.nodes}; {costs.parameters / 1e6:.2f} M parameters, "
        f"{costs.multiply_adds / 1e6:.0f} M multiply-adds an image{memory}{''.join(f'; {one}' for one in decisions)}"
    )


def _begins(run: RunConfig, name: str, data: Data | None) -> str:
    """Return whose weights a training begins with, in words; nothing where all are drawn."""
    if run.retraining.start == "scratch":
        return ""
    if data is None or not data.is_settled(name):
        return "; begins with the weights of the version in service, if there is one"
    start = data.start_of(name)
    return "; began from scratch" if start is None else f"; begins with the weights of version {start.version}"


def _training_images(run: RunConfig, shards: ShardSet | None, files: int | None) -> int | None:
    """Return how many images there are to train on: before the files are read, about as many as will be."""
    if shards is not None:
        return shards.splits["train"].samples
    split = run.dataset.split
    return None if files is None else round(files * (1 - split.validation - split.test))
