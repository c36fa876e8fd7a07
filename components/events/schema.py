"""Print the page of all events from their classes: names, resources, fields and types.

Use: `make fields`, or `python -m components.events.schema > components/events/EVENTS.md`. A test keeps it current.
"""

import inspect
import sys

from components.config.fields import first_paragraph, rows_of, schema_of
from components.events.event import Event
from components.events.known import AnyEvent
from components.section import kinds

HEAD = """# Every event

Written by `make fields` from the classes in `known.py`; do not edit. Prefect's server gets each as an event of that
name, where automations and `/api/events/filter` find it. `prefect.resource.id` says what it happened to; the payload
holds the fields below, and `title` and `text`, the same in words, for automations that only pass them on. Programs read
a payload by `components.events.known.event_of`. No field holds a password; what others said is cut at 2,000 characters.

Where `KINTSUGI_NOTIFY` names receivers (mail, Slack, webhooks), people are told, too.
"""


def page() -> str:
    """Return the page as Markdown."""
    return "\n".join([HEAD, *(_section(kind) for kind in kinds(AnyEvent) if issubclass(kind, Event))])


def _section(kind: type[Event]) -> str:
    schema = schema_of(kind)
    name = schema["properties"].pop("event")["const"]
    resource = inspect.cleandoc(kind.resource.__doc__ or "").rstrip(".").split()[-1]
    told = f"People are told, as {kind.urgency}." if kind.is_message else "People are not told."
    lines = [f"## {name}", "", f"{first_paragraph(schema['description'])} Resource: `{resource}`. {told}", ""]
    return "\n".join([*lines, *rows_of(schema["properties"], schema.get("required", ())), ""])


def main() -> None:
    """Print the page."""
    sys.stdout.write(page())


if __name__ == "__main__":
    main()
