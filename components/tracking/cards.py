"""Cards: what MLflow shows people of a model and of each version, in a few lines of Markdown."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from components.servers.redaction import redact, redact_text

if TYPE_CHECKING:
    from components.tracking.versions import Version

FACT = "fact."
"""Begins the tags that hold what is worth saying of a version besides scores and lineage."""
HEADLINE = "kintsugi.headline"
"""The tag that holds the main score in words."""

_MODEL_ROW = "model"
_LONGEST = 4000  # characters; MLflow keeps 5000


def model_card(name: str, family: str, purpose: str, command: str) -> str:
    """Return what a registered model is and how to load it.

    Args:
        name: Its registered name.
        family: Kind of its recipe.
        purpose: What it does, e.g. "makes images".
        command: The command that asks the champion for it.
    """
    return (
        f"A model of the family `{family}` that {purpose}, trained, judged and promoted by kintsugi.\n\n"
        f"Which version is in service stands in the promotion ledger; the alias `champion` is a copy of it. "
        f"Load the champion with `{command} --model {name}` or `kintsugi serve --model {name}`, which check every file "
        f"first; go back with `kintsugi rollback {name}`; check all with `kintsugi verify {name}`."
    )


def version_card(version: "Version") -> str:
    """Return what a version is, how good it is, what the gate said and what it was made from; no secrets."""
    facts = {key.removeprefix(FACT): value for key, value in sorted(version.tags.items()) if key.startswith(FACT)}
    lines = [f"**{version.family}**, export `{version.export_digest}`"]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    if score := version.tags.get(HEADLINE):
        lines.append(f"- {score}")
    if (decision := version.decision) is not None:
        against = f", judged against version {decision.judged_against}" if decision.judged_against else ""
        lines += ["", f"The gate: **{decision.verdict}**{against}"]
        lines += [f"- {reason}" for reason in decision.reasons]
    if version.lineage:
        lines += ["", "Made from: " + ", ".join(f"{part} `{digest}`" for part, digest in version.lineage.items())]
    return redact_text("\n".join(lines))[:_LONGEST]


def fact_tags(facts: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that keep what is worth saying of a version."""
    return {f"{FACT}{name}": redact(name, value) for name, value in facts.items()}


def headline(table: str, metric: str | None) -> str:
    """Return the main score of a table in words, with its interval and the best baseline beside it.

    Args:
        table: JSON text of a score table: rows of scores, `model` and one for each baseline.
        metric: Name of the score that decides; None takes the first that is not of a part of the images.

    Returns:
        The words, or nothing if the table has no such score.
    """
    rows: dict[str, list[dict[str, Any]]] = json.loads(table).get("rows", {})
    own = [
        score
        for score in rows.get(_MODEL_ROW, [])
        if score["name"] == metric or (not metric and "/" not in score["name"])
    ]
    main = own[0] if own else None
    if main is None:
        return ""
    words = f"{main['name']} {main['value']:.4g} (95 %: {main['low']:.4g} to {main['high']:.4g})"
    words += f", {main['better']} is better"
    rivals = [
        (score["value"], row)
        for row, scores in rows.items()
        for score in scores
        if row != _MODEL_ROW and score["name"] == main["name"]
    ]
    if rivals:
        value, row = (min if main["better"] == "lower" else max)(rivals)
        words += f"; best baseline: {row} {value:.4g}"
    return words
