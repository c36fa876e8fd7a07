"""Automations: what Prefect's server does by itself: say of a silent run that it is lost, retrain on new data.

That a lost run is continued is the workers' part (`flows/sweeping.py`): after a restart the server acts on events that
are up to a quarter of an hour old, and would set back a run that has long gone on.
"""

import os
from datetime import timedelta
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events import EventTrigger
from prefect.events.actions import ChangeFlowRunState, RunDeployment
from prefect.events.schemas.automations import AutomationCore, Posture

from flows.sweeping import TAG

NEW_DATA = "kintsugi.source.changed"
"""Event of the deployment `watch`; its resource is kintsugi.source.NAME."""
MOVED = "kintsugi.champion.moved"
"""Event of the deployment `rescore-champion-weekly`; its resource is kintsugi.model.NAME."""

_RUNS = {"prefect.resource.id": "prefect.flow-run.*"}
_OURS = {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"}


def lost_after() -> timedelta:
    """Return how long a run may be silent before it counts as lost: KINTSUGI_LOST_AFTER_S, or ten minutes.

    A worker finds the dead of its own host in half a minute. This is for hosts that never come back; it must be longer
    than Prefect's server may be away, or runs that are well would be taken for lost.
    """
    return timedelta(seconds=float(os.environ.get("KINTSUGI_LOST_AFTER_S") or 600))


def automations(retrain: UUID) -> list[AutomationCore]:
    """Return all automations; `retrain` is the deployment that new data starts."""
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
                ChangeFlowRunState(state=StateType.CRASHED, message="no sign of life; its host is taken for lost")
            ],
        ),
        AutomationCore(
            name="kintsugi: new data retrains",
            description="What the deployment `watch` saw change starts a night.",
            trigger=EventTrigger(
                expect={NEW_DATA},
                match={"prefect.resource.id": "kintsugi.source.*"},
                posture=Posture.Reactive,
                threshold=1,
            ),
            actions=[RunDeployment(source="selected", deployment_id=retrain, parameters={"reason": "new data"})],
        ),
    ]


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
