"""Evaluate: from a model, and from the baselines, to scores under one protocol."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from components.config import ModelConfig
from components.data.statistics import pixel_statistics
from components.executors import ExecutorConfig, LocalExecutor
from components.launch import Placement
from components.launch.processors import cards
from components.recipes.export import export_digest
from components.stages.candidate import BASELINES, TABLE, Candidate, Data, Evaluated, EvaluationSet, Scores, after
from components.stages.inputs import scores_inputs
from components.stages.site import Site, run_job, tracked
from components.stages.spent import cost_metrics, measuring_cost
from components.tracking import runs
from components.worker.jobs import EvaluateJob

EVALUATION = "evaluation"
"""Folder of the scores and their pictures among the files of a tracking run."""


@dataclass(frozen=True)
class Measurement:
    """What is measured, and on what."""

    config: ModelConfig
    """How it is evaluated."""
    export: Path | None
    """Folder of the model; None measures the baselines."""
    judged_on: EvaluationSet
    """Held-out images, and damage frozen on them."""
    seed: int
    """Seed of what the evaluation draws."""
    images: int | None = None
    """Compare with no more than so many held-out images, the first by key, which is as good as at random."""

    @property
    def subject(self) -> str:
        """Digest of the model, or "baselines"."""
        return BASELINES if self.export is None else export_digest(self.export)


def evaluate(candidate: Candidate, data: Data, site: Site) -> Candidate:
    """Return the trained candidate with its scores and those of its baselines, and write them to its tracking run.

    On fresh data the model alone is measured: what decides is the yardstick, and there the baselines are.
    """
    name, checkpoint = candidate.name, after("train", candidate.checkpoint)
    what = Measurement(candidate.config, checkpoint.path / "export", data.yardstick, data.seed)
    evaluated = with_baselines(name, what, site)
    if data.fresh is not None:
        fresh = measure(f"evaluate {name} fresh", replace(what, judged_on=data.fresh), site)
        evaluated = evaluated.model_copy(update={"fresh": fresh})
    candidate = replace(candidate, evaluated=evaluated)
    with tracked(site, name, checkpoint.digest) as run_id:
        _log(run_id, candidate, data)
    return candidate


def with_baselines(name: str, what: Measurement, site: Site) -> Evaluated:
    """Return the scores of a model and of the baselines beside it.

    Args:
        name: What people call the model while it is measured.
        what: The model, and what it is judged on.
        site: Where it happens.
    """
    baselines = measure(f"baselines {name}", replace(what, export=None), site)
    return Evaluated(scores=measure(f"evaluate {name}", what, site), baselines=baselines)


def measure(stage: str, what: Measurement, site: Site) -> Scores:
    """Return the scores of one model, or of the baselines.

    Args:
        stage: What is shown while it is measured.
        what: Who is measured, and on what.
        site: Where it happens.
    """
    model, judged_on, subject = what.config, what.judged_on, what.subject
    inputs = scores_inputs(model, subject, judged_on, what.seed, what.images)
    if (known := site.store.find(Scores, inputs)) is not None:
        site.progress(stage, 1, 1, "reused")
        return known
    needed = judged_on.corruptions if model.evaluation.needs_corruption else None
    tells = subject == BASELINES and model.evaluation.needs_statistics

    def write(draft: Path) -> Mapping[str, Any]:
        if looks_over(site.executor, model):
            told = partial(site.progress, "features")
            model.evaluation.look_over(site.executor, judged_on.shards, what.images, site.workspace.cache, told)
        job = EvaluateJob(
            evaluation=model.evaluation,
            subject=subject,
            export=what.export,
            shards=judged_on.shards.path,
            corruption_set=needed.path if needed else None,
            statistics=pixel_statistics(judged_on.shards, site.store).path if tells else None,
            images=what.images,
            seed=what.seed,
            cache=site.workspace.cache,
            folder=draft,
        )
        site.progress(stage, 0, None)
        run_job(job, site, stage, Placement(model.execution.processes))
        site.progress(stage, 1, 1)
        return {"subject": subject}

    return site.store.materialise(Scores, inputs, write)


def looks_over(executor: ExecutorConfig, model: ModelConfig) -> bool:
    """Return whether an executor's workers take features for a model's scores, and not the ranks that measure them.

    Ranks look at the images where a graphics card does it, or where no more machines are at hand.
    """
    return model.evaluation.is_looked_over and not isinstance(executor, LocalExecutor) and not cards()


def log_values(run_id: str, prefix: str, values: Mapping[str, float], step: int) -> None:
    """Write scores to a tracking run as `PREFIX/METRIC`."""
    runs.log_metrics(run_id, {f"{prefix}/{metric}": value for metric, value in values.items()}, step)


def _log(run_id: str, candidate: Candidate, data: Data) -> None:
    evaluated, images = after("evaluate", candidate.evaluated), after("train", candidate.checkpoint).images
    links = {"scores": evaluated.scores.digest}
    if evaluated.fresh is not None:
        links["fresh_scores"] = evaluated.fresh.digest
    if all(runs.link_of(run_id, name) == digest for name, digest in links.items()):
        return
    log_values(run_id, "score", evaluated.table.values(), images)
    if (cost := measuring_cost("evaluate", evaluated.scores)) is not None:
        runs.log_metrics(run_id, cost_metrics(cost), images)
    runs.log_files(run_id, evaluated.scores.path, EVALUATION)
    runs.log_files(run_id, evaluated.baselines.path / TABLE, f"{EVALUATION}/baselines")
    _log_set(run_id, candidate.config, data.yardstick)
    if evaluated.fresh is not None and data.fresh is not None:
        log_values(run_id, "score/today", evaluated.fresh.table.values(), images)
        runs.log_files(run_id, evaluated.fresh.path / TABLE, f"{EVALUATION}/fresh")
        _log_set(run_id, candidate.config, data.fresh, "fresh ")
    runs.link_run(run_id, links)


def _log_set(run_id: str, model: ModelConfig, judged_on: EvaluationSet, prefix: str = "") -> None:
    damaged, shards = judged_on.corruptions, judged_on.shards
    if damaged is not None and model.evaluation.needs_corruption:
        runs.log_dataset(run_id, f"{prefix}frozen", damaged.digest, str(damaged.path), "evaluation")
    runs.log_dataset(run_id, f"{prefix}test", shards.digest, str(shards.path), "evaluation")
