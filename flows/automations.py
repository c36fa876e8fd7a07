"""Automations: what Prefect's server does by itself: mark silent runs as lost, retrain on data or drift, tell people.

That a lost run is continued is the workers' part (`flows/sweeping.py`): after a restart the server acts on events that
are up to a quarter of an hour old, and would set back a run that has long gone on.
"""

import os
from datetime import timedelta
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events import EventTrigger
from prefect.events.actions import ChangeFlowRunState, RunDeployment, SendNotification
from prefect.events.schemas.automations import AutomationCore, Posture
from prefect.exceptions import ObjectNotFound

from components.events.event import Event
from components.events.known import AnyEvent, DataDrifted, SourceChanged
from components.section import kinds
from flows.sweeping import TAG

TELLING = "kintsugi: people are told"
"""Name of the automation that passes events on to a notification block."""

ON_DRIFT = "kintsugi: drift retrains"
"""Name of the automation that starts a night for images of another kind."""

_LOST = "A silent run is taken for lost"
_LOST_WORDS = (
    "The flow run {{ flow_run.name }} gave no sign of life; its host is taken for lost. A worker continues it."
)
_RUNS = {"prefect.resource.id": "prefect.flow-run.*"}
_OURS = {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"}


def lost_after() -> timedelta:
    """Return how long a run may be silent before it counts as lost: KINTSUGI_LOST_AFTER_S, or ten minutes.

    A worker finds the dead of its own host in half a minute. This is for hosts that never come back; it must be longer
    than Prefect's server may be away, or runs that are well would be taken for lost.
    """
    return timedelta(seconds=float(os.environ.get("KINTSUGI_LOST_AFTER_S") or 600))


def automations(retrain: UUID, block: UUID | None = None) -> list[AutomationCore]:
    """Return all automations.

    Args:
        retrain: The deployment that new data and drift start.
        block: The notification block that tells people; None tells nobody.
    """
    return [
        AutomationCore(
            name="kintsugi: a silent run is lost",
            description="A run whose heartbeats stopped is marked Crashed: its host is gone.",
            trigger=EventTrigger(
                after={"prefect.flow-run.heartbeat"},
                expect={"prefect.flow-run.*"},
                match=_RUNS,
                match_related=_OURS,
                for_each={"prefect.resource.id"},
                posture=Posture.Proactive,
                threshold=1,
                within=lost_after(),
            ),
            actions=[
                ChangeFlowRunState(state=StateType.CRASHED, message="no sign of life; its host is taken for lost"),
                *([SendNotification(block_document_id=block, subject=_LOST, body=_LOST_WORDS)] if block else []),
            ],
        ),
        AutomationCore(
            name="kintsugi: new data retrains",
            description="What the deployment `watch` saw change starts a night.",
            trigger=EventTrigger(
                expect={SourceChanged.called()},
                match={"prefect.resource.id": "kintsugi.source.*"},
                posture=Posture.Reactive,
                threshold=1,
            ),
            actions=[RunDeployment(source="selected", deployment_id=retrain, parameters={"reason": "new data"})],
        ),
        AutomationCore(
            name=ON_DRIFT,
            description="New images that look otherwise than those the champions learnt from start a night.",
            trigger=EventTrigger(
                expect={DataDrifted.called()},
                match={"prefect.resource.id": "kintsugi.run.*"},
                posture=Posture.Reactive,
                threshold=1,
            ),
            actions=[RunDeployment(source="selected", deployment_id=retrain, parameters={"reason": "drift"})],
        ),
        *([_telling(block)] if block else []),
    ]


def _telling(block: UUID) -> AutomationCore:
    """Return what passes every event that people hear of on to a notification block."""
    told = {kind.called() for kind in kinds(AnyEvent) if issubclass(kind, Event) and kind.is_message}
    return AutomationCore(
        name=TELLING,
        description="Decisions, failures, drift and alarms go to the block that `kintsugi deploy --notify` named.",
        trigger=EventTrigger(
            expect=told, match={"prefect.resource.id": "kintsugi.*"}, posture=Posture.Reactive, threshold=1
        ),
        actions=[
            SendNotification(
                block_document_id=block, subject="{{ event.payload.title }}", body="{{ event.payload.text }}"
            )
        ],
    )


def block_called(name: str) -> UUID:
    """Return the notification block TYPE/NAME of the server, such as slack-webhook/team.

    Raises:
        ValueError: There is none.
    """
    kind, _, block = name.partition("/")
    with get_client(sync_client=True) as client:
        try:
            return client.read_block_document_by_name(block, kind).id
        except ObjectNotFound as error:
            raise ValueError(
                f"--notify {name}: the server has no such block; expected TYPE/NAME of a notification block that was "
                "made on its page Blocks, such as slack-webhook/team"
            ) from error


def block_in_use() -> UUID | None:
    """Return the block that an earlier deployment has people told by; None if it told nobody."""
    with get_client(sync_client=True) as client:
        actions = [action for one in client.read_automations_by_name(TELLING) for action in one.actions]
    return next((action.block_document_id for action in actions if isinstance(action, SendNotification)), None)


def stop_telling() -> None:
    """Remove the automation that tells people."""
    with get_client(sync_client=True) as client:
        for known in client.read_automations_by_name(TELLING):
            client.delete_automation(known.id)


def settle(wanted: list[AutomationCore]) -> None:
    """Make the server hold each automation once, as it is wanted; others are left alone."""
    with get_client(sync_client=True) as client:
        for automation in wanted:
            known = client.read_automations_by_name(automation.name)
            if known:
                client.update_automation(known[0].id, automation)
            else:
                client.create_automation(automation)
            for twin in known[1:]:
                client.delete_automation(twin.id)
