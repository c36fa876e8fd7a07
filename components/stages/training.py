"""Training: from shards to a checkpoint, by processes that may die at any instant."""

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from components.artifacts import Artifact
from components.config import CorruptionConfig, ModelConfig
from components.data import ShardSet
from components.jobs import TrackerAddress, TrainJob
from components.recipes.export import export_digest
from components.stages.site import Site, flatten, run_job, tracked
from components.tracking import runs

_TRAINING_CODE = 1
"""Version of what training computes; raise it when equal configurations would give other weights."""


class Checkpoint(Artifact):
    """A finished training: `export/` is served, `checkpoint/` resumes, `curve.jsonl` and `pictures/` show its way."""

    family: str
    """Kind of its recipe: gan, vae or inpainter."""
    images: int
    """Images seen."""
    export: str
    """Digest of `export/`, the model's name by content."""


def training_inputs(
    model: ModelConfig, corruption: CorruptionConfig | None, seed: int, shards: ShardSet
) -> dict[str, Any]:
    """Return all that determines the weights of a training."""
    mix = corruption.mix if corruption is not None and model.recipe.needs_corruption else None
    return {
        "code": _TRAINING_CODE,
        "recipe": model.recipe,
        "training": model.training,
        "corruption": mix,
        "seed": seed,
        "shards": shards.digest,
    }


def train(
    name: str, model: ModelConfig, corruption: CorruptionConfig | None, seed: int, shards: ShardSet, site: Site
) -> Checkpoint:
    """Return the trained model, resuming an interrupted training from its last checkpoint.

    Raises:
        Stopped: It was asked to stop, or its time budget is spent; the same call resumes it.
        LaunchFailed: A process failed; the message is its own.
    """
    inputs = training_inputs(model, corruption, seed, shards)
    if (finished := site.store.find(Checkpoint, inputs)) is not None:
        return finished
    digest = site.store.path_of(Checkpoint, inputs).name
    params = flatten({"seed": seed, **model.model_dump(mode="json")})
    with site.workspace.training_lock(digest), tracked(site, name, digest, params) as run_id:
        runs.log_dataset(run_id, "train", shards.digest, str(shards.path), "training")
        job = TrainJob(
            run=digest,
            model=model,
            seed=seed,
            shards=shards.path,
            corruption=corruption,
            folder=site.workspace.training / digest,
            cache=site.workspace.cache,
            tracker=TrackerAddress(uri=site.tracking_uri, run_id=run_id),
        )
        checkpoint = site.store.materialise(Checkpoint, inputs, partial(_run_training, name, job, site))
        runs.log_files(run_id, checkpoint.path / "pictures", "pictures")
        runs.log_files(run_id, checkpoint.path / "curve.jsonl")
        runs.link_run(run_id, {"checkpoint": checkpoint.digest, "export": checkpoint.export, "shards": shards.digest})
    shutil.rmtree(job.folder, ignore_errors=True)
    return checkpoint


def _run_training(name: str, job: TrainJob, site: Site, draft: Path) -> Mapping[str, Any]:
    execution = job.model.execution
    job.folder.mkdir(parents=True, exist_ok=True)
    heartbeat = job.folder / "heartbeat"
    run_job(
        job,
        site,
        stage=f"train {name}",
        processes=execution.processes,
        heartbeat=heartbeat,
        heartbeat_timeout_s=execution.heartbeat_timeout_s,
    )
    shutil.copytree(job.folder / "export", draft / "export")
    newest = max(path for path in (job.folder / "checkpoints").iterdir() if path.name.isdigit())
    shutil.copytree(newest, draft / "checkpoint")
    shutil.copytree(job.folder / "pictures", draft / "pictures")
    shutil.copy(job.folder / "curve.jsonl", draft)
    return {
        "family": job.model.recipe.kind,
        "images": job.model.training.images,
        "export": export_digest(draft / "export"),
    }
