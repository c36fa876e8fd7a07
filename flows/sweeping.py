"""Sweeping: finding this host's flow runs whose process died unseen, as in a power cut, and continuing what was lost.

Of hosts that are gone for good, an automation that misses heartbeats says it (`flows/automations.py`).
"""

import logging
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas import OrchestrationResult, SetStateStatus
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import AwaitingRetry, Crashed
from prefect.utilities.urls import url_for

from components.events.known import Alarm
from flows import telling
from flows.clock import server_time
from flows.naming import HOST, PROCESS, lives_here

TAG = "kintsugi"
"""Of every deployment whose runs are watched."""

_WORKER = "prefect.worker.name"
_NEVER_BEGAN = timedelta(minutes=10)
_SETTLED = timedelta(seconds=20)  # Prefect's worker reports one death twice, seconds apart
_FORGOTTEN = timedelta(days=1)
_MOST = 200
_log = logging.getLogger(__name__)


def sweep(idle_workers: Collection[str] = ()) -> int:
    """Return how many runs were found dead or continued; 0, too, while the server does not answer.

    Args:
        idle_workers: Names of workers that carry out nothing now: what they took before is lost.
    """
    try:
        with get_client(sync_client=True) as client:
            return sum(1 for _ in _found(client, idle_workers))
    except (httpx.TransportError, PrefectHTTPStatusError) as error:
        _log.warning("Prefect's server does not answer: %s", error)
        return 0


def _found(client: SyncPrefectClient, idle_workers: Collection[str]) -> Iterator[FlowRun]:
    now = server_time(client)
    for run in _in_state(client, StateType.RUNNING):
        if lives_here(run.labels) is False:
            words = f"its process {run.labels[PROCESS]} on {run.labels[HOST]} is gone"
            yield _moved(client, run, Crashed(message=words))
    for run in _in_state(client, StateType.PENDING):
        if run.labels.get(_WORKER) in idle_workers or _since(run, now) > _NEVER_BEGAN:
            yield _moved(client, run, Crashed(message="it was taken by a worker and never began"))
    for run in _in_state(client, StateType.CRASHED):
        if _SETTLED < _since(run, now) < _FORGOTTEN:
            yield _moved(client, run, AwaitingRetry(message="it was lost, and is continued"))


def _moved(client: SyncPrefectClient, run: FlowRun, state: State[None]) -> FlowRun:
    """Propose a state under Prefect's own rules, which refuse it where the run went on meanwhile."""
    answer: OrchestrationResult[None] = client.set_flow_run_state(run.id, state)
    _log.warning("%s: %s (%s)", run.name, state.message, answer.status.value)
    if state.is_scheduled() and run.state is not None and answer.status is SetStateStatus.ACCEPT:
        page = url_for("flow-run", obj_id=run.id)
        telling.tell(Alarm(run=run.name, what="run lost", words=run.state.message or "no reason is known", link=page))
    return run


def _in_state(client: SyncPrefectClient, state: StateType) -> list[FlowRun]:
    wanted = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[state])), tags=FlowRunFilterTags(all_=[TAG])
    )
    return client.read_flow_runs(flow_run_filter=wanted, limit=_MOST)


def _since(run: FlowRun, now: datetime) -> timedelta:
    return now - run.state.timestamp if run.state is not None else timedelta(0)
