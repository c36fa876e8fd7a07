"""Cards: what MLflow shows people of a model and of each version, in a few lines of Markdown."""

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from components.servers.redaction import redact, redact_text

if TYPE_CHECKING:
    from components.tracking.versions import Version

FACT = "fact."
"""Begins the tags that hold what is worth saying of a version besides scores and lineage."""
HEADLINE = "kintsugi.headline"
"""The tag that holds the main score in words."""
SCORES = "kintsugi.scores"
"""The tag that holds the scores as a Markdown table."""
PICTURE = "kintsugi.picture"
"""The tag that holds the path of a picture among the files of the version's run."""

_MODEL_ROW = "model"
_LONGEST = 4000  # characters; MLflow keeps 5000
_IN_SERVICE = "\n\n---\n\nIn service: "
"""Stands between what a model is and what its champion is."""
_HEAD_ROWS = 2  # names, dashes


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
    """Return what a version is, how good it is, what was decided on it, what from and how to use it; no secrets."""
    facts = {key.removeprefix(FACT): value for key, value in sorted(version.tags.items()) if key.startswith(FACT)}
    lines = [f"**{version.family}**, export `{version.export_digest}`"]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    if score := version.tags.get(HEADLINE):
        lines.append(f"- {score}")
    if picture := version.tags.get(PICTURE):
        lines += ["", _picture(version.run_id, picture)]
    if (decision := version.decision) is not None:
        against = f", judged against version {decision.judged_against}" if decision.judged_against else ""
        lines += ["", f"Decided: **{decision.verdict}**{against}"]
        lines += [f"- {reason}" for reason in decision.reasons]
    if version.lineage:
        lines += ["", "Made from: " + ", ".join(f"{part} `{digest}`" for part, digest in version.lineage.items())]
    lines += ["", _use_of(version)]
    return _with_table(redact_text("\n".join(lines))[:_LONGEST], version.tags.get(SCORES, ""))


def _picture(run_id: str, path: str) -> str:
    """Return a picture among a run's files, which MLflow's own pages can show, as a link to where it lies."""
    return (
        f"[![What it makes](get-artifact?{urlencode({'run_uuid': run_id, 'path': path})})](#/runs/{run_id}/artifacts)"
    )


def shown_with(description: str, champion: "Version | None") -> str:
    """Return the description of a model with the card of its champion below, in place of an earlier one's.

    Args:
        description: What MLflow shows of the model now; what people wrote above the champion's card stays.
        champion: The version in service, if there is one.
    """
    what, _, _ = description.partition(_IN_SERVICE)
    return what if champion is None else f"{what}{_IN_SERVICE}version {champion.number}\n\n{champion.description}"


def _use_of(version: "Version") -> str:
    """Return how to load and serve a version."""
    return (
        f"To use it while it is in service: `kintsugi serve --model {version.name}`, which checks every file first. "
        f"This version, whatever is in service, from Python with kintsugi installed: "
        f'`mlflow.pyfunc.load_model("models:/{version.name}/{version.number}")`, which checks none.'
    )


def _with_table(text: str, table: str) -> str:
    """Return a card with as many rows of a Markdown table below it as there is room for."""
    rows = _fitting(table.splitlines(), _LONGEST - len(text) - 2)
    return "\n".join([text, "", *rows]) if len(rows) > _HEAD_ROWS else text


def _fitting(rows: Sequence[str], room: int) -> list[str]:
    """Return the first rows, as many as take no more than so many characters with their ends."""
    taken = itertools.accumulate(len(row) + 1 for row in rows)
    return [row for row, end in zip(rows, taken, strict=True) if end <= room]


def fact_tags(facts: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that keep what is worth saying of a version."""
    return {f"{FACT}{name}": redact(name, value) for name, value in facts.items()}


def score_rows(table: str, metric: str | None) -> str:
    """Return the scores of a table that are of all images, as a Markdown table: a column for each baseline.

    Args:
        table: JSON text of a score table: rows of scores, `model` and one for each baseline.
        metric: Name of the score that decides, which comes first.

    Returns:
        The table, each number with its 95 % interval, as many rows as a tag has room for; or nothing if the model has
        no such score.
    """
    rows: dict[str, list[dict[str, Any]]] = json.loads(table).get("rows", {})
    cells = {who: {score["name"]: _cell(score) for score in scores} for who, scores in rows.items()}
    own = [score for score in rows.get(_MODEL_ROW, []) if "/" not in score["name"]]
    if not own:
        return ""
    subjects = [_MODEL_ROW, *(who for who in rows if who != _MODEL_ROW)]
    lines = [["score (95 % interval)", "better", *subjects], ["---"] * (len(subjects) + 2)]
    for score in sorted(own, key=lambda one: one["name"] != metric):
        name = score["name"]
        lines.append([name, score["better"], *(cells[who].get(name, "") for who in subjects)])
    return "\n".join(_fitting([f"| {' | '.join(line)} |" for line in lines], _LONGEST))


def _cell(score: Mapping[str, Any]) -> str:
    interval = f" ({score['low']:.4g} to {score['high']:.4g})" if "low" in score else ""
    return f"{score['value']:.4g}{interval}"


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
