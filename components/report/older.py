"""Older: the JSON of a page, as this version or an earlier one wrote it, to the page's content."""

import ast
import json
from collections.abc import Mapping
from typing import Any

from components.evaluation.protocol import Protocol
from components.report.content import LAYOUT, PageContent


def read_content(text: bytes | str) -> PageContent:
    """Return the content of a page from its page.json.

    Raises:
        ValueError: It is not one that this version can read.
    """
    content = json.loads(text)
    if isinstance(content, dict) and "layout" not in content:
        try:
            text = json.dumps(_from_layout_1(content))
        except (AttributeError, LookupError, SyntaxError, TypeError) as error:
            raise ValueError(f"not a page that this version can read ({error!r})") from error
    return PageContent.model_validate_json(text)


def _from_layout_1(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content in the present layout. Layout 1 kept scores as measures that name a protocol by its digest."""
    run = {name: value for name, value in content["run"].items() if name != "duration_s"}
    return {**content, "layout": LAYOUT, "run": run, "models": [_model(model) for model in content["models"]]}


def _model(model: Mapping[str, Any]) -> dict[str, Any]:
    protocols = {one["digest"]: _protocol(one["facts"]) for one in model["protocols"]}
    kept = {name: value for name, value in model.items() if name != "protocols"}
    fresh = model["fresh"] and {**model["fresh"], "subjects": _subjects(model["fresh"]["subjects"], protocols)}
    return {**kept, "subjects": _subjects(model["subjects"], protocols), "fresh": fresh}


def _protocol(facts: list[Mapping[str, str]]) -> dict[str, Any]:
    """Return a protocol from its facts, which were printed for people: `reference samples`, `{'splits': 10}`."""
    values: dict[str, Any] = {fact["label"].replace(" ", "_"): fact["value"] for fact in facts}
    settings = ast.literal_eval(values["settings"]) if "settings" in values else {}
    return Protocol.model_validate({**values, "settings": settings}).model_dump(mode="json")


def _subjects(subjects: list[Mapping[str, Any]], protocols: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "name": one["name"],
            "role": one["role"],
            "scores": [_score(measure, protocols) for measure in one["measures"]],
        }
        for one in subjects
    ]


def _score(measure: Mapping[str, Any], protocols: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    value = measure["value"]
    low, high = (value if measure[end] is None else measure[end] for end in ("low", "high"))
    kept = {"name": measure["metric"], "value": value, "low": low, "high": high, "better": measure["better"]}
    return {**kept, "protocol": protocols[measure["protocol"]]}
