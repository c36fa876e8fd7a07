"""Turn: when a deployed flow run may begin, and how it gives its place back in a state that is continued.

Overlap and catch-up rule: of one deployment one run is under way at a time, others wait; of several that are late only
the last runs. A run that was interrupted is never left out: it is continued, with the data it began with.
"""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import Pause, TerminationSignal
from prefect.runtime import flow_run
from prefect.states import Completed, Scheduled

from components.launch.outcome import FULL_DISK, Stopped
from components.launch.parent import when_orphaned
from components.servers.patience import is_outage
from components.stages.budget import BudgetSpent
from flows import naming, news
from flows.clock import server_time

INTERRUPTIONS = 5
"""How often a run is continued after it was lost, before it is given up."""
RESUMABLE, AWAITING_TURN, SKIPPED, BUDGET_SPENT = "Resumable", "AwaitingTurn", "Skipped", "BudgetSpent"

_AGAIN_S = 30.0
_WAIT_FOR_SERVERS_S = 300.0
_log = logging.getLogger(__name__)


class GivenUp(RuntimeError):  # noqa: N818 - says what happened
    """A run was lost again and again; a person must look at it."""


@contextmanager
def taken() -> Iterator[None]:
    """Hold the turn of a deployed run: wait for it, say who holds it, and give it back when asked to stop.

    A run that stops on purpose (SIGTERM to its worker, a spent time budget, a full disk, a server long away)
    ends up `Resumable`, a scheduled state, and a worker continues it. One whose night has spent its budget ends as
    `BudgetSpent`, which nothing continues. Runs that no deployment made are left alone: a person continues those.

    Raises:
        GivenUp: The run was lost too often.
    """
    run = _admitted()
    if run is None:
        yield
        return
    naming.say_where()
    when_orphaned(_stop)
    try:
        yield
    except BudgetSpent as error:
        with get_client(sync_client=True) as client:
            raise _ended(client, run, Completed(name=BUDGET_SPENT, message=str(error))) from error
    except (RuntimeError, OSError) as error:
        again_in_s = error.again_in_s if isinstance(error, Stopped) else _WAIT_FOR_SERVERS_S
        if not isinstance(error, Stopped) and not is_outage(error):
            raise
        with get_client(sync_client=True) as client:
            pause = _again(client, run, RESUMABLE, str(error), again_in_s)
            if is_outage(error) or FULL_DISK in str(error):
                news.tell_interruption(client, run, str(error))
            raise pause from error
    except TerminationSignal as asked:
        with get_client(sync_client=True) as client:
            now = client.read_flow_run(run.id).state
            if now is not None and now.is_cancelling():
                raise
            words = "asked to stop; training wrote a checkpoint"
            raise _again(client, run, RESUMABLE, words, _AGAIN_S) from asked


def _admitted() -> FlowRun | None:
    """Return the present flow run whose turn it is, or None where no deployment made one; else end or delay it."""
    with get_client(sync_client=True) as client:
        run = _deployed(client)
        if run is not None:
            _check_interruptions(client, run)
            if later := _later_ones(client, run):
                words = f"{len(later)} later runs of the schedule are due as well; the last of them sees the same data"
                raise _ended(client, run, Completed(name=SKIPPED, message=words))
            if (before := _before(client, run)) is not None:
                raise _again(client, run, AWAITING_TURN, f"{before.name} is under way", _AGAIN_S)
    return run


def _deployed(client: SyncPrefectClient) -> FlowRun | None:
    """Return the present flow run, if a deployment made it."""
    run = client.read_flow_run(UUID(flow_run.id)) if flow_run.id else None
    return run if run is not None and run.deployment_id is not None else None


def _check_interruptions(client: SyncPrefectClient, run: FlowRun) -> None:
    lost = [state for state in client.read_flow_run_states(run.id) if state.type is StateType.CRASHED]
    if len(lost) > INTERRUPTIONS:
        raise GivenUp(f"lost {len(lost)} times, the last time: {lost[-1].message}; run it again by hand once mended")


def _later_ones(client: SyncPrefectClient, run: FlowRun) -> list[FlowRun]:
    """Return the runs of the same schedule that are due, too, and later than this one, unless it was begun before."""
    if not run.auto_scheduled or run.run_count > 1:
        return []
    now = server_time(client)
    due = run.expected_start_time or now
    waiting = [other for other in _of_deployment(client, run, StateType.SCHEDULED) if other.auto_scheduled]
    return [other for other in waiting if other.run_count == 0 and due < (other.expected_start_time or due) <= now]


def _before(client: SyncPrefectClient, run: FlowRun) -> FlowRun | None:
    """Return a run of the same deployment that is under way, and was so first."""
    others = [other for other in _of_deployment(client, run, StateType.RUNNING) if other.id != run.id]
    ahead = [other for other in others if (_since(other), str(other.id)) < (_since(run), str(run.id))]
    return ahead[0] if ahead else None


def _since(run: FlowRun) -> datetime:
    """Return since when a run is in its present state: one that is continued comes after those that began meanwhile."""
    return run.state.timestamp if run.state is not None else datetime.max.replace(tzinfo=UTC)


def _of_deployment(client: SyncPrefectClient, run: FlowRun, state: StateType) -> list[FlowRun]:
    return client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[run.deployment_id])),
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[state]))),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=200,
    )


def _again(client: SyncPrefectClient, run: FlowRun, name: str, words: str, in_s: float) -> Pause:
    """Put the run back in line under the state's `name`, and return what ends its process without a failure."""
    when = server_time(client) + timedelta(seconds=in_s)
    message = f"{words}; goes on by itself at {when:%H:%M:%S} UTC"
    return _ended(client, run, Scheduled(name=name, message=message, scheduled_time=when))


def _ended(client: SyncPrefectClient, run: FlowRun, state: State[None]) -> Pause:
    """Put the run into `state` and return what ends its process without a failure."""
    answer = client.set_flow_run_state(
        run.id, state, force=True
    )  # no rule of Prefect's knows runs that stop themselves
    _log.info("%s: %s", state.name, state.message)
    return Pause(state.message, state=answer.state)


def _stop() -> None:
    """Stop this run as SIGTERM does; its worker is gone, and the next one may continue it at any time."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # the worker read these; writing to it now would raise in the middle of the last words
        os.dup2(nowhere, stream)
    os.kill(os.getpid(), signal.SIGTERM)
