"""Telling: events to Prefect's server, and messages to the people whom KINTSUGI_NOTIFY names; nobody waits."""

import atexit
from functools import cache

from prefect.events import emit_event
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL
from prefect.utilities.urls import url_for

from components.events.event import Event
from components.events.messages import Messenger


def tell(event: Event) -> None:
    """Tell Prefect's server, where this is a flow's run or a server is named, and people. Returns at once."""
    is_served = bool(PREFECT_API_URL.value())  # else a run's own server ends with it, and so does its page
    if event.link is None and is_served and flow_run.id:
        event = event.model_copy(update={"link": url_for("flow-run", obj_id=flow_run.id)})
    if flow_run.id or is_served:
        resource = {"prefect.resource.id": event.resource, "prefect.resource.name": event.resource.split(".", 2)[-1]}
        emit_event(event.event, resource=resource, payload=event.payload())
    _messenger().tell(event)


@cache
def _messenger() -> Messenger:
    messenger = Messenger.from_environment()
    atexit.register(messenger.leave)  # a run has ended by then, and is no longer waited for
    return messenger
