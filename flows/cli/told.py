"""Told: what a person decided, as an event, where a server or receivers are to hear of it."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from components.events.event import Event


def tell(event: "Event") -> None:
    """Tell a Prefect server and the receivers that the environment names; where it names none, nothing is loaded."""
    if os.environ.get("PREFECT_API_URL") or os.environ.get("KINTSUGI_NOTIFY"):
        from flows import telling

        telling.tell(event)
