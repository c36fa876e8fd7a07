"""Runs in MLflow: found again by the digest of what determined them, with params, lineage, files and environment."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from filelock import FileLock

from components.section import canonical_json
from components.servers.redaction import redact, redact_text
from components.tracking.client import MlflowClient, TrackingError, mlflow
from components.tracking.environment import environment_tags
from components.tracking.login import without_userinfo
from components.tracking.metrics import allowed_name
from components.tracking.sqlite import (
    OUR_DEFAULT,
    default_database,
    is_current,
    is_tagged,
    sqlite_file,
    sqlite_uri,
    uri_from_environment,
)

logger = logging.getLogger(__name__)

DIGEST_TAG = "kintsugi.digest"
RunStatus = Literal["FINISHED", "FAILED", "KILLED"]

_BATCH = 100
_LONGEST_PARAM = 6000
_LONGEST_TAG = 8000
_LONGEST_DATASET_DIGEST = 36
_KIND = {"mlflow.experimentKind": "custom_model_development"}  # or its page opens as that of a chat application

Item = TypeVar("Item")


def configure(home: Path) -> str:
    """Point MLflow at its store, make the store usable by many processes, and return its tracking URI.

    MLFLOW_TRACKING_URI wins if the user set it; otherwise runs are kept in HOME/mlflow.db and files in
    HOME/mlartifacts. Processes started from here inherit the choice. A name and a password in an http address move to
    MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, for MLflow's messages repeat the address.
    """
    stated = without_userinfo(uri_from_environment())
    if not stated:
        stated = sqlite_uri(default_database(home))
        os.environ[OUR_DEFAULT] = stated
    os.environ["MLFLOW_TRACKING_URI"] = stated  # what MLflow goes by, if it is imported later
    if "mlflow" in sys.modules:
        mlflow.set_tracking_uri(stated)
    if (database := sqlite_file(stated)) is not None and not is_current(database):
        _create_tables(database)
    return stated


def open_run(
    experiment: str,
    name: str,
    digest: str,
    *,
    parent: str | None = None,
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, str] | None = None,
) -> str:
    """Return the id of the experiment's run of this digest, running: created, or found again after a kill.

    Args:
        experiment: Name of the MLflow experiment, created if missing.
        name: What people read in the list of runs.
        digest: Digest of everything that determined the run; its identity inside the experiment.
        parent: Id of the run under which the list shows this one.
        params: Flat names and values. Longer ones than MLflow keeps (6000 characters) become files under `params/`.
        tags: More tags. Secrets are redacted in params and tags alike.
    """
    client = MlflowClient()
    experiment_id = find_or_create_experiment(client, experiment)
    known = _first_run(client, experiment_id, digest)
    lineage = {} if parent is None else {"mlflow.parentRunId": parent}
    if known is None:
        known = _create_run(client, experiment_id, name, digest)
    else:
        client.update_run(known.info.run_id, status="RUNNING")
        lineage = {} if "mlflow.parentRunId" in known.data.tags else lineage  # it stays with the run that began it
    run_id: str = known.info.run_id
    _log_params(client, known, params or {})
    _set_tags(client, run_id, {**environment_tags(), **lineage, **(tags or {})})
    return run_id


def finish_run(run_id: str, status: RunStatus = "FINISHED") -> None:
    """End a run: FINISHED, FAILED, or KILLED for one that was stopped and can be resumed.

    Raises:
        TrackingError: MLflow refused it.
    """
    try:
        MlflowClient().set_terminated(run_id, status)
    except mlflow.exceptions.MlflowException as error:
        raise TrackingError(f"run {run_id} could not be ended as {status}: {redact_text(error.message)}") from error


def link_run(run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags `kintsugi.NAME` that tie a run to artifacts, flow runs, model versions or pages."""
    _set_tags(MlflowClient(), run_id, {f"kintsugi.{name.removeprefix('kintsugi.')}": v for name, v in tags.items()})


def page_of(run_id: str) -> str:
    """Return the address of a run's page on whatever server, for links from other pages of it."""
    experiment = MlflowClient().get_run(run_id).info.experiment_id
    # Without the workspace a server that has several opens its list of them; without the type, a page about chats.
    return f"#/experiments/{experiment}/runs/{run_id}?workflowType=machine_learning&workspace=default"


def describe(run_id: str, markdown: str) -> None:
    """Set the text at the head of the run's page."""
    _set_tags(MlflowClient(), run_id, {"mlflow.note.content": markdown})


def run_of(experiment: str, digest: str) -> str | None:
    """Return the id of the experiment's run of a digest; None where there is none."""
    client = MlflowClient()
    found = client.get_experiment_by_name(experiment)
    known = None if found is None else _first_run(client, found.experiment_id, digest)
    return None if known is None else str(known.info.run_id)


def link_of(run_id: str, name: str) -> str | None:
    """Return the value of the tag `kintsugi.NAME` that `link_run` set, or None."""
    value: str | None = MlflowClient().get_run(run_id).data.tags.get(f"kintsugi.{name}")
    return value


def is_linked(experiment: str, name: str, value: str) -> bool:
    """Return whether a run of the experiment has the tag `kintsugi.NAME` that `link_run` sets, with this value."""
    tag = f"kintsugi.{name}"
    if (known := is_tagged(experiment, tag, value)) is not None:
        return known
    client = MlflowClient()
    found = client.get_experiment_by_name(experiment)
    return found is not None and bool(
        client.search_runs([found.experiment_id], f"tags.`{tag}` = '{_quotable(value)}'", max_results=1)
    )


def log_dataset(
    run_id: str, name: str, digest: str, source: str, context: str, *, profile: Mapping[str, object] | None = None
) -> None:
    """Record which data a run used, so that MLflow shows it and can find runs by it.

    Args:
        run_id: The run.
        name: What people call the data set.
        digest: At most 36 characters.
        source: A path or URL; credentials in it are redacted.
        context: What the run used it for, e.g. "training" or "evaluation".
        profile: Counts and other facts worth showing.

    Raises:
        ValueError: The digest is longer than MLflow keeps.
    """
    if len(digest) > _LONGEST_DATASET_DIGEST:
        raise ValueError(f"the data set digest {digest!r} has {len(digest)} characters; MLflow keeps at most 36")
    kind, place = _dataset_source(redact_text(source))
    dataset = mlflow.entities.Dataset(
        name, digest, kind, json.dumps(place), profile=canonical_json(dict(profile or {})).decode()
    )
    tag = mlflow.entities.InputTag("mlflow.data.context", context)
    MlflowClient().log_inputs(run_id, datasets=[mlflow.entities.DatasetInput(dataset, [tag])])


def log_files(run_id: str, path: Path, under: str = "") -> None:
    """Copy a file, or all that a folder holds, to the run's files at `under`.

    Raises:
        ValueError: There is nothing at `path`.
    """
    client = MlflowClient()
    if path.is_dir():
        client.log_artifacts(run_id, str(path), under or None)
    elif path.is_file():
        client.log_artifact(run_id, str(path), under or None)
    else:
        raise ValueError(f"{path}: expected a file or a folder to log, found nothing")


def log_metrics(run_id: str, values: Mapping[str, float], images: int) -> None:
    """Keep numbers by name, at `images` seen; what is not finite is left out, and so is what the run says already."""
    client, now_ms = MlflowClient(), int(time.time() * 1000)
    known = client.get_run(run_id).data.metrics
    named = {allowed_name(name): value for name, value in values.items() if math.isfinite(value)}
    fresh = [
        mlflow.entities.Metric(name, value, now_ms, images) for name, value in named.items() if known.get(name) != value
    ]
    for chunk in _chunks(fresh):
        client.log_batch(run_id, metrics=chunk)


def find_or_create_experiment(client: MlflowClient, name: str) -> str:
    """Return the id of the experiment `name`.

    Raises:
        ValueError: It was deleted, which in MLflow keeps its name taken.
    """
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            place = _artifact_root(mlflow.get_tracking_uri())
            return str(client.create_experiment(name, artifact_location=place, tags=_KIND))
        except mlflow.exceptions.MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        found = client.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage != "active":
        number = "" if found is None else f": mlflow experiments restore --experiment-id {found.experiment_id}"
        raise ValueError(f"the MLflow experiment {name!r} was deleted; restore it{number}")
    return str(found.experiment_id)


def _create_tables(database: Path) -> None:
    """Create or migrate the tables in one process while the others wait: MLflow's own migration is not safe to race."""
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock"):
        MlflowClient().search_experiments(max_results=1)


def _artifact_root(uri: str) -> str | None:
    """Return where files go: beside a SQLite file; elsewhere the server knows."""
    database = sqlite_file(uri)
    return None if database is None else (database.resolve().parent / "mlartifacts").as_uri()


def _first_run(client: MlflowClient, experiment_id: str, digest: str) -> mlflow.entities.Run | None:
    condition = f"tags.`{DIGEST_TAG}` = '{_quotable(digest)}'"
    found = client.search_runs([experiment_id], condition, order_by=["attributes.start_time ASC"])
    return min(found, key=lambda run: (run.info.start_time, run.info.run_id), default=None)


def _create_run(client: MlflowClient, experiment_id: str, name: str, digest: str) -> mlflow.entities.Run:
    """Create the run; of two processes that do so at once, the first keeps it and the other uses that one."""
    mine = client.create_run(experiment_id, run_name=name, tags={DIGEST_TAG: digest})
    first = _first_run(client, experiment_id, digest)
    if first is None or first.info.run_id == mine.info.run_id:
        return mine
    client.delete_run(mine.info.run_id)
    return first


def _log_params(client: MlflowClient, run: mlflow.entities.Run, params: Mapping[str, object]) -> None:
    run_id = run.info.run_id
    fresh = []
    for name, value in params.items():
        text = redact(name, value)
        if len(text) > _LONGEST_PARAM:
            file = f"params/{name}.txt"
            client.log_text(run_id, text, file)
            text = f"{len(text)} characters, in the file {file}"
        kept = run.data.params.get(name)
        if kept is None:
            fresh.append(mlflow.entities.Param(name, text))
        elif kept != text:
            logger.warning("run %s keeps the param %s = %s; it is %s now", run_id, name, kept, text)
    for chunk in _chunks(fresh):
        client.log_batch(run_id, params=chunk)


def _set_tags(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    entries = [mlflow.entities.RunTag(name, redact(name, value)[:_LONGEST_TAG]) for name, value in tags.items()]
    for chunk in _chunks(entries):
        client.log_batch(run_id, tags=chunk)


def _chunks(items: Sequence[Item]) -> Iterator[list[Item]]:
    for start in range(0, len(items), _BATCH):
        yield list(items[start : start + _BATCH])


def _dataset_source(source: str) -> tuple[str, dict[str, Any]]:
    """Return MLflow's name for the kind of source and its description of the place."""
    if source.startswith(("http://", "https://")):
        return "http", {"url": source}
    return ("s3" if source.startswith("s3://") else "local"), {"uri": source}


def _quotable(text: str) -> str:
    if "'" in text:
        raise ValueError(f"{text!r}: a digest holds no quotes")
    return text
