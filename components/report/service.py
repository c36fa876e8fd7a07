"""The first page of the service that shows pages: the runs it can show, and the models it serves."""

from collections.abc import Sequence

from components.report.content import Record
from components.report.index import IndexEntry
from components.report.rendering import rendered


class ServedModel(Record):
    """One line of the table of models."""

    name: str
    family: str
    version: int | None
    """In service; None before the first promotion."""
    scores: dict[str, float]
    problem: str | None = None
    """Why it cannot be used now."""


def service_page(entries: Sequence[IndexEntry], models: Sequence[ServedModel], notes: Sequence[str]) -> str:
    """Return the page as HTML; its links are relative, so that it may lie under any prefix.

    Args:
        entries: The runs, in the order shown.
        models: The models, in the order shown.
        notes: What a person should know first, such as that a server does not answer.
    """
    values = {"entries": entries, "models": models, "notes": notes, "title": "Runs and models"}
    return rendered("service.html.jinja", values)
