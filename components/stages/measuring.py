"""Measuring: from a model, and from the baselines, to scores under one protocol."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.artifacts import Artifact
from components.config import ModelConfig
from components.evaluation.protocol import MODEL_ROW, ScoreTable
from components.recipes.export import export_digest
from components.section import Section
from components.stages.preparation import EvaluationSet, EvaluationSets
from components.stages.site import Site, run_job, tracked
from components.stages.training import Checkpoint
from components.tracking import runs
from components.worker.jobs import EvaluateJob

TABLE = "scores.json"
_EVALUATION_CODE = 2
"""Version of what evaluation computes; raise it when equal models would get other scores."""


class Scores(Artifact):
    """`scores.json`, a ScoreTable with a row for the model or one for each baseline; `pictures/` of what was scored."""

    subject: str
    """Digest of the model, or "baselines"."""

    @property
    def table(self) -> ScoreTable:
        """Return the scores."""
        return ScoreTable.read(self.path / TABLE)


class Evaluated(Section):
    """What is known of one model: its own scores and, under the same protocols, those of what needs no training."""

    scores: Scores
    baselines: Scores
    fresh: Scores | None = None
    """Its scores on the held-out images of today's data; None where these are the yardstick's, or were not measured."""

    @property
    def table(self) -> ScoreTable:
        """Return the model's row and the baselines' rows in one table: what decides."""
        return ScoreTable(
            subject=self.scores.subject,
            rows={MODEL_ROW: self.scores.table.rows[MODEL_ROW], **self.baselines.table.rows},
        )


def evaluate(
    name: str, model: ModelConfig, checkpoint: Checkpoint, sets: EvaluationSets, seed: int, site: Site
) -> Evaluated:
    """Return the scores of a trained model and of its baselines, and write them to the model's tracking run.

    On fresh data the model alone is measured: what decides is the yardstick, and there the baselines are.
    """
    export = checkpoint.path / "export"
    evaluated = evaluate_export(name, model, export, sets.yardstick, seed, site)
    if sets.fresh is not None:
        fresh = measure(f"evaluate {name} fresh", model, export, sets.fresh, seed, site)
        evaluated = evaluated.model_copy(update={"fresh": fresh})
    with tracked(site, name, checkpoint.digest) as run_id:
        _log(run_id, model, checkpoint, sets, evaluated)
    return evaluated


def evaluate_export(
    name: str, model: ModelConfig, export: Path, judged_on: EvaluationSet, seed: int, site: Site
) -> Evaluated:
    """Return the scores of the model in the folder `export` and of its baselines."""
    baselines = measure(f"baselines {name}", model, None, judged_on, seed, site)
    scores = measure(f"evaluate {name}", model, export, judged_on, seed, site)
    return Evaluated(scores=scores, baselines=baselines)


def measure(
    stage: str,
    model: ModelConfig,
    export: Path | None,
    judged_on: EvaluationSet,
    seed: int,
    site: Site,
    images: int | None = None,
) -> Scores:
    """Return the scores of one model, or of the baselines.

    Args:
        stage: What is shown while it is measured.
        model: How it is evaluated.
        export: Folder of the model; None measures the baselines.
        judged_on: Held-out images, and damage frozen on them.
        seed: Seed of what the evaluation draws.
        site: Where it happens.
        images: Compare with no more than so many held-out images, the first by key, which is as good as at random.
    """
    needed = judged_on.corruptions if model.evaluation.needs_corruption else None
    subject = "baselines" if export is None else export_digest(export)
    inputs = {
        "code": _EVALUATION_CODE,
        "subject": subject,
        "evaluation": model.evaluation,
        "shards": judged_on.shards.digest,
        "corruption": needed.digest if needed else None,
        "seed": seed,
    }
    if images is not None:
        inputs["images"] = images

    if (known := site.store.find(Scores, inputs)) is not None:
        site.progress(stage, 1, 1, "reused")
        return known

    def write(draft: Path) -> Mapping[str, Any]:
        job = EvaluateJob(
            evaluation=model.evaluation,
            subject=subject,
            export=export,
            shards=judged_on.shards.path,
            corruption_set=needed.path if needed else None,
            images=images,
            seed=seed,
            cache=site.workspace.cache,
            folder=draft,
        )
        site.progress(stage, 0, None)
        run_job(job, site, stage=stage, processes=model.execution.processes)
        site.progress(stage, 1, 1)
        return {"subject": subject}

    return site.store.materialise(Scores, inputs, write)


def log_values(run_id: str, prefix: str, values: Mapping[str, float], step: int) -> None:
    """Write scores to a tracking run as `PREFIX/METRIC`."""
    runs.log_metrics(run_id, {f"{prefix}/{metric}": value for metric, value in values.items()}, step)


def _log(run_id: str, model: ModelConfig, checkpoint: Checkpoint, sets: EvaluationSets, evaluated: Evaluated) -> None:
    links = {"scores": evaluated.scores.digest}
    if evaluated.fresh is not None:
        links["fresh_scores"] = evaluated.fresh.digest
    if all(runs.linked(run_id, name) == digest for name, digest in links.items()):
        return
    log_values(run_id, "score", evaluated.table.values(), checkpoint.images)
    runs.log_files(run_id, evaluated.scores.path, "evaluation")
    runs.log_files(run_id, evaluated.baselines.path / TABLE, "evaluation/baselines")
    _log_set(run_id, model, sets.yardstick)
    if evaluated.fresh is not None and sets.fresh is not None:
        log_values(run_id, "fresh", evaluated.fresh.table.values(), checkpoint.images)
        runs.log_files(run_id, evaluated.fresh.path / TABLE, "evaluation/fresh")
        _log_set(run_id, model, sets.fresh, "fresh ")
    runs.link_run(run_id, links)


def _log_set(run_id: str, model: ModelConfig, judged_on: EvaluationSet, prefix: str = "") -> None:
    damaged, shards = judged_on.corruptions, judged_on.shards
    if damaged is not None and model.evaluation.needs_corruption:
        runs.log_dataset(run_id, f"{prefix}frozen", damaged.digest, str(damaged.path), "evaluation")
    runs.log_dataset(run_id, f"{prefix}test", shards.digest, str(shards.path), "evaluation")
