"""Inputs: all that determines the artifact of each stage. The stage finds it by them or makes it; `plan` only looks."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.config import CorruptionConfig, ModelConfig, RunConfig
from components.data import ShardSet
from components.data.statistics import statistics_digest
from components.quality.copies import NearCopies
from components.stages.candidate import BASELINES, Candidate, Data, EvaluationSet, Start, after

_TRAINING_CODE = 3
"""Version of what training computes; raise it when equal configurations would give other weights."""
_EVALUATION_CODE = 3
"""Version of what evaluation computes; raise it when equal models would get other scores."""
_PAGE_CODE = 6
"""Version of what the page shows; raise it when equal runs should get another page."""


def checkpoint_inputs(
    model: ModelConfig,
    corruption: CorruptionConfig | None,
    seed: int,
    shards: ShardSet,
    start: Start | None = None,
    copies: NearCopies | None = None,
) -> dict[str, Any]:
    """Return all that determines the weights of a training.

    Args:
        model: What is trained.
        corruption: What a model that mends is shown.
        seed: Seed of all that is drawn.
        shards: The images.
        start: The version whose weights it begins with; None draws them.
        copies: Near-copies, of which training leaves some out; a list without any changes nothing.
    """
    mix = corruption.mix if corruption is not None and model.recipe.needs_corruption else None
    inputs = {
        "code": _TRAINING_CODE,
        "recipe": model.recipe,
        "training": model.training,
        "corruption": mix,
        "seed": seed,
        "shards": shards.digest,
    }
    if copies is not None and copies.left_out:
        inputs["left_out"] = copies.list_digest
    if model.training.window is not None:  # the order then follows from the tars, too
        inputs["tars"] = shards.layout("train")
    if model.recipe.needs_statistics:
        inputs["statistics"] = statistics_digest(shards)
    return inputs if start is None else {**inputs, "start": [start.checkpoint, start.export, start.frozen_layers]}


def training_inputs(candidate: Candidate, data: Data) -> dict[str, Any]:
    """Return all that determines the weights of a candidate."""
    start = data.start_of(candidate.name)
    return checkpoint_inputs(candidate.config, data.corruption, data.seed, data.shards, start, data.copies)


def scores_inputs(
    model: ModelConfig, subject: str, judged_on: EvaluationSet, seed: int, images: int | None = None
) -> dict[str, Any]:
    """Return all that determines the scores of a model, or of the baselines beside it.

    Args:
        model: How it is evaluated.
        subject: Digest of the model's export, or `BASELINES`.
        judged_on: Held-out images, and damage frozen on them.
        seed: Seed of what the evaluation draws.
        images: Compare with no more than so many held-out images; None takes all.
    """
    needed = judged_on.corruptions if model.evaluation.needs_corruption else None
    inputs = {
        "code": _EVALUATION_CODE,
        "subject": subject,
        "evaluation": model.evaluation,
        "shards": judged_on.shards.digest,
        "corruption": needed.digest if needed else None,
        "seed": seed,
    }
    if subject == BASELINES and model.evaluation.needs_statistics:
        inputs["statistics"] = statistics_digest(judged_on.shards)
    return inputs if images is None else {**inputs, "images": images}


def page_inputs(run: RunConfig, command: str, data: Data, candidates: Sequence[Candidate]) -> dict[str, Any]:
    """Return all that determines a run's page.

    Args:
        run: What was asked for.
        command: What makes the run again.
        data: What the models were trained and judged on.
        candidates: The models, those that failed too.
    """
    return {
        "code": _PAGE_CODE,
        "run": content_of(run),
        "shards": data.shards.digest,
        "judged_on": [data.yardstick.name, *(one.digest for one in (data.yardstick, data.fresh) if one)],
        "models": {one.name: _told_of(one) for one in candidates if one.failure is None},
        "failed": {one.name: one.failure for one in candidates if one.failure is not None},
        "command": command,
    }


def content_of(run: RunConfig) -> dict[str, Any]:
    """Return what is asked for, but for how many models are worked on side by side, by whom, and what is held here."""
    return run.model_dump(mode="json", exclude={"models_at_once", "executor", "streaming_cache"})


def command_of(config: Path, overrides: Sequence[str]) -> str:
    """Return the command line that makes the run again."""
    return shlex.join(["kintsugi", "run", str(config), *(part for value in overrides for part in ("--set", value))])


def _told_of(candidate: Candidate) -> dict[str, Any]:
    evaluated = after("evaluate", candidate.evaluated)
    return {
        "checkpoint": after("train", candidate.checkpoint).digest,
        "scores": evaluated.scores.digest,
        "baselines": evaluated.baselines.digest,
        "fresh": evaluated.fresh.digest if evaluated.fresh else None,
        "promotion": after("promote", candidate.promotion),
    }
