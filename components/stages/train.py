"""Train: from shards to a checkpoint, by processes that may die at any instant."""

import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from components import launch
from components.data.statistics import pixel_statistics
from components.launch.persist import persist
from components.recipes.export import export_digest
from components.servers.patience import PatienceEndedError, at_most
from components.stages.budget import BudgetSpent, cards_of, note_taken
from components.stages.candidate import Candidate, Checkpoint, Data
from components.stages.inputs import training_inputs
from components.stages.site import Host, Site, flatten, run_job, tracked
from components.stages.spent import cost_metrics, training_cost
from components.stages.start import origin_of
from components.tracking import runs, writing
from components.tracking.client import TrackingError
from components.training.checkpoint import newest_place
from components.worker.jobs import OUTBOX, TrainJob

_PUBLISHED_WITHIN_S = 300.0
_AFTER_A_FAILURE_S = 10.0


def train(candidate: Candidate, data: Data, site: Site, stop_at: int | None = None) -> Candidate:
    """Return the candidate with its checkpoint, resuming an interrupted training from its last one.

    Args:
        candidate: The model.
        data: What it is trained on.
        site: Where it happens.
        stop_at: Stop once so many images were seen, if there are more to come; None goes on to the end.

    Raises:
        Stopped: It was asked to stop, its time budget is spent, or it came to `stop_at`; the same call resumes it.
        LaunchFailed: A process failed; the message is its own.
    """
    name, model = candidate.name, candidate.config
    inputs = training_inputs(candidate, data)
    if (finished := site.store.find(Checkpoint, inputs)) is not None:
        site.progress(f"train {name}", finished.images, finished.images, "reused")
        return replace(candidate, checkpoint=finished)
    host = Host.from_environment()
    host.check(model.execution.nodes)
    job = _job(site.store.path_of(Checkpoint, inputs).name, candidate, data, site, stop_at)
    if host.rank > 0:
        return replace(candidate, checkpoint=_follow_host_zero(name, job, inputs, site))
    params = flatten({"seed": data.seed, **model.model_dump(mode="json", exclude={"execution"})})
    with site.workspace.training_lock(job.run), tracked(site, name, job.run, params) as run_id:
        _log_how(run_id, candidate, data)
        tracked_job = job.model_copy(update={"tracking_run": run_id})
        checkpoint = site.store.materialise(Checkpoint, inputs, partial(_run_training, name, tracked_job, run_id, site))
    shutil.rmtree(job.folder, ignore_errors=True)
    return replace(candidate, checkpoint=checkpoint)


def _job(digest: str, candidate: Candidate, data: Data, site: Site, stop_at: int | None) -> TrainJob:
    start = data.start_of(candidate.name)
    return TrainJob(
        run=digest,
        model=candidate.config,
        seed=data.seed,
        shards=data.shards.path,
        corruption=data.corruption,
        folder=site.workspace.training / digest,
        cache=site.workspace.cache,
        left_out=data.copies.list_path if data.copies is not None and data.copies.left_out else None,
        statistics=pixel_statistics(data.shards, site.store).path if candidate.config.recipe.needs_statistics else None,
        origin=None if start is None else origin_of(start, site.store),
        stop_at=stop_at,
        tracking_run=None,
    )


def _log_how(run_id: str, candidate: Candidate, data: Data) -> None:
    """Tell the tracking run what is trained on, from whose weights, and how the training is carried out."""
    execution = flatten(candidate.config.model_dump(mode="json", include={"execution"}))
    start = data.start_of(candidate.name)
    links = {"shards": data.shards.digest, "start": "scratch" if start is None else start.name}
    # Tags, for params are fixed by the first attempt, and the next one may be carried out otherwise.
    runs.link_run(run_id, {name: str(value) for name, value in execution.items()} | links)
    runs.log_dataset(run_id, "train", data.shards.digest, str(data.shards.path), "training")


def _follow_host_zero(name: str, job: TrainJob, inputs: Mapping[str, Any], site: Site) -> Checkpoint:
    """Run this host's processes, and return what host 0 makes of the training."""
    run_job(job, site, f"train {name}", Host.from_environment().placement(job.model.execution))
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
    if (cost := training_cost(draft, job.model.training.images)) is not None:
        runs.log_metrics(run_id, cost_metrics(cost), job.model.training.images)
    runs.link_run(run_id, {"checkpoint": job.run, "export": export})
    before = {"images_before": job.origin.seen} if job.origin else {}
    return {"family": job.model.recipe.kind, "images": job.model.training.images, "export": export, **before}


def _launch(name: str, job: TrainJob, run_id: str, site: Site) -> None:
    execution = job.model.execution
    try:
        persist(
            lambda: _launch_once(name, job, site),
            lambda: newest_place(job.folder / "checkpoints"),
            relaunches=execution.relaunches if execution.nodes == 1 else 0,
        )
    except (launch.LaunchFailed, launch.Stopped) as error:
        with at_most(_AFTER_A_FAILURE_S), suppress(PatienceEndedError, TrackingError):  # the outbox keeps the rest
            writing.deliver_rest(job.folder / OUTBOX, run_id)
        if isinstance(error, launch.Stopped) and not isinstance(error, BudgetSpent):
            raise launch.Stopped(str(error), execution.resume_after_s) from error
        raise


def _launch_once(name: str, job: TrainJob, site: Site) -> None:
    """Launch the processes for no longer than the night's budget allows, and note what they took of it."""
    execution, began = job.model.execution, time.monotonic()
    placement = Host.from_environment().placement(execution)
    limits = launch.Limits(heartbeat=job.folder / "heartbeat", heartbeat_timeout_s=execution.heartbeat_timeout_s)
    left_s = None if site.budget is None else site.budget.left_s(execution, site.store, site.workspace)
    if site.budget is not None and left_s is not None and left_s <= 0:
        place = newest_place(job.folder / "checkpoints") or 0
        words = f"stands at {place:,} of {job.model.training.images:,} images; a run with a larger budget goes on"
        raise BudgetSpent(f"{site.budget.words}, {site.budget.spent_by}; {words}")
    try:
        run_job(job.model_copy(update={"budget_s": left_s}), site, f"train {name}", placement, limits)
    except launch.Stopped as error:
        if site.budget is None or left_s is None or time.monotonic() - began < left_s:
            raise
        raise BudgetSpent(f"{site.budget.words}, {site.budget.spent_by}; {error}") from error
    finally:
        note_taken(job.folder, time.monotonic() - began, cards_of(execution))
