"""Training: from shards to a checkpoint, by processes that may die at any instant."""

import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from components import launch
from components.artifacts import Artifact
from components.config import CorruptionConfig, ModelConfig
from components.data import ShardSet
from components.launch.persist import persist
from components.recipes.export import export_digest
from components.servers.patience import PatienceEndedError, at_most
from components.stages.site import Host, Site, flatten, run_job, tracked
from components.tracking import runs, writing
from components.tracking.client import TrackingError
from components.training.checkpoint import newest_place
from components.worker.jobs import OUTBOX, TrainJob

_PUBLISHED_WITHIN_S = 300.0
_AFTER_A_FAILURE_S = 10.0
_TRAINING_CODE = 3
"""Version of what training computes; raise it when equal configurations would give other weights."""


class Checkpoint(Artifact):
    """A finished training: `export/` is served, `checkpoint/` resumes, `curve.jsonl` and `pictures/` show its way."""

    family: str
    """Kind of its recipe."""
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
        site.progress(f"train {name}", finished.images, finished.images, "reused")
        return finished
    host = Host.from_environment()
    host.check(model.execution.nodes)
    digest = site.store.path_of(Checkpoint, inputs).name
    job = TrainJob(
        run=digest,
        model=model,
        seed=seed,
        shards=shards.path,
        corruption=corruption,
        folder=site.workspace.training / digest,
        cache=site.workspace.cache,
        tracking_run=None,
    )
    if host.rank > 0:
        return _lend_processors(name, job, inputs, site)
    params = flatten({"seed": seed, **model.model_dump(mode="json", exclude={"execution"})})
    execution = flatten(model.model_dump(mode="json", include={"execution"}))
    with site.workspace.training_lock(digest), tracked(site, name, digest, params) as run_id:
        # Tags, for params are fixed by the first attempt, and the next one may be carried out otherwise.
        runs.link_run(run_id, {name: str(value) for name, value in execution.items()} | {"shards": shards.digest})
        runs.log_dataset(run_id, "train", shards.digest, str(shards.path), "training")
        tracked_job = job.model_copy(update={"tracking_run": run_id})
        checkpoint = site.store.materialise(Checkpoint, inputs, partial(_run_training, name, tracked_job, run_id, site))
    shutil.rmtree(job.folder, ignore_errors=True)
    return checkpoint


def _lend_processors(name: str, job: TrainJob, inputs: Mapping[str, Any], site: Site) -> Checkpoint:
    """Run this host's processes, and return what host 0 makes of the training."""
    run_job(job, site, stage=f"train {name}", execution=job.model.execution)
    deadline = time.monotonic() + _PUBLISHED_WITHIN_S
    while (finished := site.store.find(Checkpoint, inputs)) is None:
        if time.monotonic() > deadline:
            raise launch.LaunchFailed(f"host 0 published no checkpoint within {_PUBLISHED_WITHIN_S:g} s after training")
        time.sleep(1)
    return finished


def _run_training(name: str, job: TrainJob, run_id: str, site: Site, draft: Path) -> Mapping[str, Any]:
    """Train, and fill the draft. All that MLflow is to have it has before the checkpoint counts as finished."""
    job.folder.mkdir(parents=True, exist_ok=True)
    if job.model.execution.nodes > 1 or not (job.folder / "export").is_dir():  # the last that ranks leave
        _launch(name, job, run_id, site)
    writing.deliver_rest(job.folder / OUTBOX, run_id)
    newest = max(path for path in (job.folder / "checkpoints").iterdir() if path.name.isdigit())
    shutil.copytree(job.folder / "export", draft / "export")
    shutil.copytree(newest, draft / "checkpoint")
    shutil.copytree(job.folder / "pictures", draft / "pictures")
    shutil.copy(job.folder / "curve.jsonl", draft)
    export = export_digest(draft / "export")
    runs.log_files(run_id, draft / "pictures", "pictures")
    runs.log_files(run_id, draft / "curve.jsonl")
    runs.link_run(run_id, {"checkpoint": job.run, "export": export})
    return {"family": job.model.recipe.kind, "images": job.model.training.images, "export": export}


def _launch(name: str, job: TrainJob, run_id: str, site: Site) -> None:
    execution = job.model.execution
    with_heartbeat = partial(run_job, job, site, stage=f"train {name}", execution=execution)
    try:
        persist(
            lambda: with_heartbeat(heartbeat=job.folder / "heartbeat"),
            lambda: newest_place(job.folder / "checkpoints"),
            relaunches=execution.relaunches if execution.nodes == 1 else 0,
        )
    except (launch.LaunchFailed, launch.Stopped) as error:
        with at_most(_AFTER_A_FAILURE_S), suppress(PatienceEndedError, TrackingError):  # the outbox keeps the rest
            writing.deliver_rest(job.folder / OUTBOX, run_id)
        if isinstance(error, launch.Stopped):
            raise launch.Stopped(str(error), execution.resume_after_s) from error
        raise
