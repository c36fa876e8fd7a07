"""Underway: what runs by MLflow at this moment and how fast, and when each configuration last ended well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from components.section import Section
from components.tracking.client import MlflowClient, mlflow
from components.tracking.metrics import allowed_name
from components.tracking.runs import DIGEST_TAG
from components.tracking.watching import answering

STAGE = "stage"
"""Tag of a night's run, after `kintsugi.`: the stage that was begun last."""

TRIALS = "trials"
"""Tag of a sweep's run, after `kintsugi.`: how many configurations it tries. Its trials are runs of their own."""

_NIGHT = "kintsugi.reason"
_SHOWN = 200


class Training(Section):
    """One model's run that has not ended. One whose host died counts until the run is continued."""

    model: str
    """Registered name."""
    metrics: dict[str, float]
    """Latest values by the names under which the training reported them."""


class Underway(Section):
    """What MLflow says at one moment."""

    trainings: tuple[Training, ...]
    stages: dict[str, str]
    """Of nights under way, by configuration: the stage that was begun last; empty before the first."""
    last_success: dict[str, datetime]
    """By configuration: when its last night ended well."""


def look() -> Underway:
    """Return what is under way.

    Raises:
        RegistryAwayError: MLflow does not answer.
    """
    with answering():
        client = MlflowClient()
        names = {one.experiment_id: one.name for one in client.search_experiments()}
        running = list(_runs(client, names, f"attributes.status = 'RUNNING' and tags.`{DIGEST_TAG}` LIKE '%'"))
        ended = _runs(client, names, f"attributes.status = 'FINISHED' and tags.`{_NIGHT}` LIKE '%'")
        nights = [run for run in running if _NIGHT in run.data.tags]
        return Underway(
            trainings=tuple(
                Training(model=names[run.info.experiment_id], metrics=run.data.metrics)
                for run in running
                if _NIGHT not in run.data.tags and f"kintsugi.{TRIALS}" not in run.data.tags
            ),
            stages={names[run.info.experiment_id]: run.data.tags.get(f"kintsugi.{STAGE}", "") for run in nights},
            last_success=_last(names, ended),
        )


def reported(training: Training, name: str) -> float | None:
    """Return the latest value that a training reported under a name, or None."""
    return training.metrics.get(allowed_name(name))


def _last(names: Mapping[str, str], ended: Iterator[mlflow.entities.Run]) -> dict[str, datetime]:
    """Return the end of the newest of these runs by experiment; they come newest first."""
    last: dict[str, datetime] = {}
    for run in ended:
        if run.info.end_time is not None:
            last.setdefault(names[run.info.experiment_id], datetime.fromtimestamp(run.info.end_time / 1000, UTC))
    return last


def _runs(client: MlflowClient, names: Mapping[str, str], condition: str) -> Iterator[mlflow.entities.Run]:
    """Yield the newest runs that fit."""
    newest = ["attributes.end_time DESC", "attributes.start_time DESC"]
    yield from client.search_runs(list(names), condition, max_results=_SHOWN, order_by=newest)
