"""The leaderboard: all versions of every model over time, with scores, cost, decision and pictures."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from markupsafe import Markup
from pydantic import AwareDatetime

from components.report import charts
from components.report.content import Panels, Picture, Record
from components.report.rendering import render, rendered
from components.report.scores import decimals_for_all, number

Better = Literal["lower", "higher"]
Verdict = Literal["promote", "reject", "hold"]
Part = Literal["champion", "challenger", "previous"]
_TEMPLATE = "leaderboard.html.jinja"
_AT_FIRST = 50  # versions in the table until a reader asks for more
_DIGITS = 6  # of the numbers that the page carries for sorting; the table prints fewer


class Mark(NamedTuple):
    """One score of one version. A tuple, for a page may hold a hundred thousand."""

    value: float
    low: float | None
    """Lower end of the interval; None where only the value is known."""
    high: float | None
    protocol: str
    """Digest; empty where it is not known. Marks with different protocols are never compared."""


class VersionRow(Record):
    """One version of a model."""

    number: int
    decided: AwareDatetime | None
    """When the gate decided about it; None before."""
    verdict: Verdict | None
    reason: str
    """The first of the decision's reasons."""
    part: Part | None
    """What it is now."""
    served: bool
    """Whether it was ever in service."""
    data: str
    """Number of its data version, or the beginning of the digest of its shards."""
    images: str
    """Images seen in training, as its facts say."""
    hours: float | None
    """Of training, by the clock; None for versions from before this was kept."""
    cost: str = ""
    """Of training, in money; empty where no price was given."""
    marks: Mapping[str, Mark]
    """Scores by name."""
    page: str = ""
    """Address of its run's page, relative to the leaderboard; empty where that is not here."""


class Reign(Record):
    """From when on a version was champion."""

    since: int
    """The newest version at that time."""
    version: int


class Look(Record):
    """What one version makes of the evaluation's seeds."""

    version: str
    picture: Picture


class Course(Record):
    """All versions of one model."""

    name: str
    family: str
    metric: str | None
    """The score that decides; None if no version was scored."""
    better: Mapping[str, Better]
    """Which way is better, by score."""
    rows: tuple[VersionRow, ...]
    """Newest first."""
    reigns: tuple[Reign, ...]
    """Champions, in the order in which they came into service."""
    panels: Panels | None = None
    """The same damage as the versions mend it."""
    looks: tuple[Look, ...] = ()
    """The same seeds as the versions draw them."""

    @property
    def protocol(self) -> str:
        """How the newest version's deciding score was measured; what was measured otherwise is not compared."""
        return next(iter(_protocols(self.rows, self.metric or "")), "")

    def compared(self) -> dict[int, charts.VersionMark]:
        """Return the deciding score of the versions that were measured as the newest was, oldest first, by number."""
        protocol, found = self.protocol, {}
        for row in reversed(self.rows):
            mark = row.marks.get(self.metric or "")
            if mark is None or mark.low is None or mark.high is None or mark.protocol != protocol:
                continue
            is_promoted = row.verdict == "promote"
            found[row.number] = charts.VersionMark(row.number, mark.value, mark.low, mark.high, is_promoted)
        return found


def write_leaderboard(courses: Sequence[Course], notes: Sequence[str], path: Path) -> Path:
    """Write one self-contained HTML file that lists the versions of all models, whole or not at all; return its path.

    Args:
        courses: The models, in the order shown.
        notes: What a person should know first, such as that a ledger cannot be trusted.
        path: Where it is written.
    """
    return render(_TEMPLATE, _values(courses, notes, "./index.html"), path)


def leaderboard_page(courses: Sequence[Course], notes: Sequence[str], runs: str) -> str:
    """Return the page as HTML.

    Args:
        courses: The models, in the order shown.
        notes: What a person should know first.
        runs: Address of the list of runs, seen from the page.
    """
    return rendered(_TEMPLATE, _values(courses, notes, runs))


def _values(courses: Sequence[Course], notes: Sequence[str], runs: str) -> dict[str, object]:
    views = [{"course": course, "chart": _chart(course), **_columns(course)} for course in courses]
    return {"views": views, "notes": notes, "runs": runs, "title": "Leaderboard", "at_first": _AT_FIRST}


def _columns(course: Course) -> dict[str, object]:
    """Return what the table prints, and the JSON by which the page's script sorts it and shows other scores."""
    names = list(course.better)
    decimals = {name: _decimals(course, name) for name in names}
    protocols = {name: _protocols(course.rows, name) for name in names}
    carried = {
        "metrics": [
            {"name": name, "better": course.better[name], "decimals": decimals[name], "protocols": protocols[name]}
            for name in names
        ],
        "main": names.index(course.metric) if course.metric in names else 0,
        "rows": [[_carried(row.marks.get(name), protocols[name]) for name in names] for row in course.rows],
    }
    metric = course.metric
    cells = [
        _cell(row.marks.get(metric), decimals[metric], protocols[metric]) if metric in decimals else None
        for row in course.rows
    ]
    text = json.dumps(carried, separators=(",", ":"), allow_nan=False)
    # In JSON these two stand in strings only, and so escaped neither ends the element nor begins a character's name.
    safe = text.replace("<", "\\u003c").replace("&", "\\u0026")
    return {"names": names, "cells": cells, "carried": Markup(safe)}


class Cell(NamedTuple):
    """A score as the table prints it."""

    text: str
    interval: str
    group: int
    """0 if it was measured as the newest version was; others are not comparable with those."""


def _cell(mark: Mark | None, decimals: int, protocols: Sequence[str]) -> Cell | None:
    if mark is None:
        return None
    interval = (
        "" if mark.low is None or mark.high is None else f"[{_text(mark.low, decimals)}, {_text(mark.high, decimals)}]"
    )
    return Cell(_text(mark.value, decimals), interval, protocols.index(mark.protocol))


def _text(value: float, decimals: int) -> str:
    return f"{value:,.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def _carried(mark: Mark | None, protocols: Sequence[str]) -> list[float | int | None] | int:
    if mark is None:
        return 0
    numbers = [None if one is None else float(f"{one:.{_DIGITS}g}") for one in (mark.value, mark.low, mark.high)]
    return [*numbers, protocols.index(mark.protocol)]


def _decimals(course: Course, name: str) -> int:
    marks = [row.marks[name] for row in course.rows if name in row.marks]
    halves = [(mark.high - mark.low) / 2 for mark in marks if mark.low is not None and mark.high is not None]
    return decimals_for_all(halves, [mark.value for mark in marks])


def _protocols(rows: Sequence[VersionRow], metric: str) -> list[str]:
    """Return how versions were measured, the newest's way first, values of which it is not known last."""
    seen = dict.fromkeys(row.marks[metric].protocol for row in rows if metric in row.marks)
    return sorted(seen, key=lambda protocol: not protocol)


def _chart(course: Course) -> Picture | None:
    """Return the score that decides over versions, with the champion's as a line; None where fewer than two compare."""
    compared = course.compared()
    if course.metric is None or len(compared) < 2:
        return None
    points = [(reign.since, _height(compared.get(reign.version))) for reign in course.reigns]
    line = [*points, (course.rows[0].number, points[-1][1])] if points else []
    arrow = "higher" if course.better[course.metric] == "higher" else "lower"
    marks = list(compared.values())
    spoken = f"newest {number(marks[-1].value)}" + (f", champion {number(line[-1][1])}" if line else "")
    return Picture(
        content=charts.svg(charts.over_versions(marks, line, course.metric, arrow)),
        alt=f"{course.metric} of {len(marks)} versions of {course.name}, {arrow} is better: {spoken}.",
    )


def _height(mark: charts.VersionMark | None) -> float:
    """Return where the champion's line runs; nowhere for one that was measured otherwise."""
    return math.nan if mark is None else mark.value
