"""Pages of the service that are made when asked for: the runs it can show, the models it serves, its addresses."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.report.content import Record
from components.report.index import IndexEntry, SkippedNight
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


def service_page(
    entries: Sequence[IndexEntry] | None,
    models: Sequence[ServedModel] | None,
    skipped: Sequence[SkippedNight],
    notes: Sequence[str],
) -> str:
    """Return the page as HTML; its links are relative, so that it may lie under any prefix.

    Args:
        entries: The runs, in the order shown; None where the artifact store has not answered yet.
        models: The models, in the order shown; None where the registry has not answered yet.
        skipped: Nights that were skipped, in the order shown.
        notes: What a person should know first, such as that a server does not answer.
    """
    values = {"entries": entries, "models": models, "skipped": skipped, "notes": notes, "title": "Runs and models"}
    return rendered("service.html.jinja", values)


class Input(Record):
    """One value that an address takes."""

    name: str
    place: str
    """Where it is sent: in the path, the query, or a body of a type."""
    default: str
    """As JSON; empty where there is none."""
    note: str


class Address(Record):
    """One method of one path."""

    method: str
    path: str
    summary: str
    description: str
    inputs: tuple[Input, ...]
    answers: dict[str, str]
    """What each status means."""


def address_page(openapi: Mapping[str, Any]) -> str:
    """Return the page that lists a service's addresses as HTML.

    Args:
        openapi: What they are, as OpenAPI 3.1.
    """
    addresses = [
        Address(
            method=method.upper(),
            path=path,
            summary=said.get("summary", ""),
            description=said.get("description", ""),
            inputs=tuple(_inputs(said)),
            answers={status: answer["description"] for status, answer in said["responses"].items()},
        )
        for path, methods in openapi["paths"].items()
        for method, said in methods.items()
    ]
    return rendered("addresses.html.jinja", {"addresses": addresses, "title": "Addresses for programs"})


def _inputs(said: Mapping[str, Any]) -> Iterator[Input]:
    for parameter in said.get("parameters", ()):
        yield _input(parameter["name"], parameter["in"], parameter.get("schema", {}), parameter.get("description", ""))
    for media_type, content in said.get("requestBody", {}).get("content", {}).items():
        for name, schema in content["schema"].get("properties", {}).items():
            yield _input(name, media_type, schema, schema.get("description", ""))


def _input(name: str, place: str, schema: Mapping[str, Any], note: str) -> Input:
    default = json.dumps(schema["default"]) if "default" in schema else ""
    choices = [json.dumps(one) for part in (schema, *schema.get("anyOf", ())) for one in part.get("enum", ())]
    return Input(name=name, place=place, default=default, note=note or ", ".join(choices))
