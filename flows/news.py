"""News: what of a run is told as events: decisions, each once; failures; what interrupts it."""

import logging
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow

from components.artifacts import Store
from components.artifacts.storage import StorageError
from components.events.event import Judged
from components.events.known import Alarm, Held, ModelFailed, NightSkipped, Promoted, Refused, RunFailed
from components.launch import LaunchFailed
from components.stages.candidate import Promotion
from components.stages.site import Site, registered_name
from flows import naming, telling

_TOLD = "kintsugi.interruption_told"
"""Label of a flow run of which people know that something keeps it from going on."""

_log = logging.getLogger(__name__)


class ModelsFailed(LaunchFailed):
    """Models of a run failed, each of which was told by itself."""


def tell_decision(promotion: Promotion, site: Site) -> None:
    """Tell what became of a version, unless a run has told it before: nights without change come to it again."""
    event = decision_of(promotion, site.night.title if site.night else None)
    facts = {"event": event.event, "model": event.model, "version": event.version}
    if is_first(event.identity, site.store, **facts):
        telling.tell(event)


def decision_of(promotion: Promotion, night: str | None) -> Judged:
    """Return what became of a version as an event."""
    facts: dict[str, Any] = {
        "model": promotion.model,
        "version": promotion.version,
        "champion": promotion.judged_against,
        "reasons": promotion.reasons,
        "night": night,
    }
    match promotion.verdict:
        case "promote":
            return Promoted(**facts)
        case "reject":
            return Refused(**facts)
        case _:
            return Held(**facts, answers=promotion.answers)


def tell_failure(name: str, error: RuntimeError, site: Site) -> None:
    """Tell that a model of a run failed while the others go on."""
    night = site.night.title if site.night else None
    telling.tell(ModelFailed(model=registered_name(site.experiment, name), night=night, error=str(error)))


def tell_skipped(why: str, run: str, site: Site) -> None:
    """Tell that the night of a run is skipped, and why."""
    title, number = (site.night.title, site.night.data_version) if site.night else (run, None)
    telling.tell(NightSkipped(run=title, data_version=number, reasons=(why,)))


def when_failed(flow: "Flow[..., Any]", flow_run: FlowRun, state: "State[Any]") -> None:
    """Tell that a flow's run failed; Prefect calls it. What was told of its models is not told again."""
    error = state.result(raise_on_failure=False)
    if not isinstance(error, ModelsFailed):
        words = str(error) if isinstance(error, BaseException) else state.message
        telling.tell(RunFailed(run=naming.present_name(flow_run), flow=flow.name, error=words or "it gave no reason"))


def tell_interruption(client: SyncPrefectClient, run: FlowRun, words: str) -> None:
    """Tell, once for a run, that it cannot go on for want of a server or of room."""
    now = client.read_flow_run(run.id)
    if _TOLD not in now.labels:
        client.update_flow_run_labels(run.id, {_TOLD: True})
        telling.tell(Alarm(run=now.name, what="run interrupted", words=words))


def is_first(name: str, store: Store, **facts: object) -> bool:
    """Return whether nobody told this before, and note that it is told now. Where that cannot be seen, it is news.

    Args:
        name: What is told, equal for equal news.
        store: Where it is noted.
        facts: What to note beside it.
    """
    told = store.records(f"told/{name}")
    try:
        if told.all():
            return False
        told.append(facts)
    except StorageError as error:
        _log.warning("whether %r was told before cannot be seen: %s", name, error)
    return True
