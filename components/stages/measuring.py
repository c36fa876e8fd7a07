"""Measuring: from a model, and from the baselines, to scores under one protocol."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.artifacts import Artifact
from components.config import ModelConfig
from components.data import CorruptionSet, ShardSet
from components.evaluation.protocol import MODEL_ROW, ScoreTable
from components.jobs import EvaluateJob
from components.recipes.export import export_digest
from components.section import Section
from components.stages.site import Site, run_job, tracked
from components.stages.training import Checkpoint
from components.tracking import runs

TABLE = "scores.json"
_EVALUATION_CODE = 2
"""Version of what evaluation computes; raise it when equal models would get other scores."""


class Scores(Artifact):
    """`scores.json`, a ScoreTable with a row for the model or one for each baseline; `pictures/` of what was scored."""

    subject: str
    """Digest of the model, or "baselines"."""


class Evaluated(Section):
    """What is known of one model: its own scores and, under the same protocols, those of what needs no training."""

    scores: Scores
    baselines: Scores

    @property
    def table(self) -> ScoreTable:
        """Return the model's row and the baselines' rows in one table."""
        model = ScoreTable.read(self.scores.path / TABLE).rows
        baselines = ScoreTable.read(self.baselines.path / TABLE).rows
        return ScoreTable(subject=self.scores.subject, rows={MODEL_ROW: model[MODEL_ROW], **baselines})


def evaluate(
    name: str,
    model: ModelConfig,
    checkpoint: Checkpoint,
    shards: ShardSet,
    corruptions: CorruptionSet | None,
    seed: int,
    site: Site,
) -> Evaluated:
    """Return the scores of a trained model and of its baselines, and write them to the model's tracking run."""
    evaluated = evaluate_export(name, model, checkpoint.path / "export", shards, corruptions, seed, site)
    with tracked(site, name, checkpoint.digest) as run_id:
        if runs.linked(run_id, "scores") == evaluated.scores.digest:
            return evaluated
        values = {f"score/{metric}": value for metric, value in evaluated.table.values().items()}
        runs.log_metrics(run_id, values, checkpoint.images)
        runs.log_files(run_id, evaluated.scores.path, "evaluation")
        runs.log_files(run_id, evaluated.baselines.path / TABLE, "evaluation/baselines")
        if corruptions is not None and model.evaluation.needs_corruption:
            runs.log_dataset(run_id, "frozen", corruptions.digest, str(corruptions.path), "evaluation")
        runs.log_dataset(run_id, "test", shards.digest, str(shards.path), "evaluation")
        runs.link_run(run_id, {"scores": evaluated.scores.digest})
    return evaluated


def evaluate_export(
    name: str,
    model: ModelConfig,
    export: Path,
    shards: ShardSet,
    corruptions: CorruptionSet | None,
    seed: int,
    site: Site,
) -> Evaluated:
    """Return the scores of the model in the folder `export` and of its baselines."""
    baselines = _measure(f"baselines {name}", model, None, shards, corruptions, seed, site)
    scores = _measure(f"evaluate {name}", model, export, shards, corruptions, seed, site)
    return Evaluated(scores=scores, baselines=baselines)


def _measure(
    stage: str,
    model: ModelConfig,
    export: Path | None,
    shards: ShardSet,
    corruptions: CorruptionSet | None,
    seed: int,
    site: Site,
) -> Scores:
    needed = corruptions if model.evaluation.needs_corruption else None
    subject = "baselines" if export is None else export_digest(export)
    inputs = {
        "code": _EVALUATION_CODE,
        "subject": subject,
        "evaluation": model.evaluation,
        "shards": shards.digest,
        "corruption": needed.digest if needed else None,
        "seed": seed,
    }

    if (known := site.store.find(Scores, inputs)) is not None:
        site.progress(stage, 1, 1, "reused")
        return known

    def write(draft: Path) -> Mapping[str, Any]:
        job = EvaluateJob(
            evaluation=model.evaluation,
            subject=subject,
            export=export,
            shards=shards.path,
            corruption_set=needed.path if needed else None,
            seed=seed,
            cache=site.workspace.cache,
            folder=draft,
        )
        site.progress(stage, 0, None)
        run_job(job, site, stage=stage, processes=model.execution.processes)
        site.progress(stage, 1, 1)
        return {"subject": subject}

    return site.store.materialise(Scores, inputs, write)
