"""Command leaderboard: all versions of the models over time, in the terminal and as a page."""

import json
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from components.workspace import Workspace
from flows.cli.tables import say, table

if TYPE_CHECKING:
    from components.report.leaderboard import Course, VersionRow


def leaderboard(
    model: Annotated[str | None, Parameter(help="Registered name, or its last part; all models if left out.")] = None,
    *,
    rows: Annotated[int, Parameter(help="Versions shown of each model, newest first; the page has all.")] = 20,
    store: Annotated[
        str | None, Parameter(help="Artifact store: a folder or s3://bucket/prefix; by default KINTSUGI_STORE.")
    ] = None,
    as_json: Annotated[bool, Parameter(name="--json", help="Print JSON for scripts.", negative=())] = False,
) -> None:
    """List all versions of the models over time: decision, score, data, hours; and renew their page."""
    if rows < 1:
        raise ValueError(f"--rows is {rows}, expected 1 or more")
    from components.artifacts import Store
    from components.report.index import rebuild_index
    from components.stages.leaderboard import read_courses, write_courses
    from components.tracking import runs

    workspace = Workspace.from_environment().create()
    runs.configure(workspace.home)
    courses, notes = read_courses(Store.open(store or workspace.default_store, workspace.cache), workspace.pages)
    page = write_courses(courses, notes, workspace.pages)
    rebuild_index(workspace.pages)  # which leads to the page from now on
    chosen = courses if model is None else [_named(courses, model)]
    if as_json:
        say(json.dumps([_facts(course) for course in chosen], indent=1))
        return
    for note in notes:
        say(note)
    for course in chosen:
        say(f"{course.name}: {len(course.rows)} versions, by {course.metric or 'no score'}")
        say(table(["version", "decision", "score", "data", "images", "hours", "cost", "decided"], _lines(course, rows)))
        if len(course.rows) > rows:
            say(f"... and {len(course.rows) - rows} older ones")
        say("")
    if not courses:
        say("no models yet; kintsugi run CONFIG makes some")
    say(f"Page: {page.absolute().as_uri()}")


def _named(courses: "list[Course]", name: str) -> "Course":
    """Return the course of the model called so, or of the only one whose name ends so.

    Raises:
        ValueError: There is none, or more than one.
    """
    fitting = [one for one in courses if one.name == name] or [one for one in courses if one.name.endswith(f"-{name}")]
    if len(fitting) != 1:
        known = ", ".join(one.name for one in fitting or courses) or "none; kintsugi run CONFIG makes some"
        problem = "is the name of more than one model" if fitting else "is not registered"
        raise ValueError(f"model {name} {problem}; there are: {known}")
    return fitting[0]


def _lines(course: "Course", count: int) -> list[list[str]]:
    return [
        [
            f"{row.number}{' *' if row.part == 'champion' else ''}",
            row.verdict or "-",
            _score(course, row),
            row.data,
            row.images or "-",
            "-" if row.hours is None else f"{row.hours:.3g}",
            row.cost or "-",
            "-" if row.decided is None else f"{row.decided:%Y-%m-%d %H:%M}",
        ]
        for row in course.rows[:count]
    ]


def _score(course: "Course", row: "VersionRow") -> str:
    """Return the score that decides; ~ before one that was measured otherwise than the newest."""
    mark = row.marks.get(course.metric or "")
    if mark is None:
        return "-"
    interval = "" if mark.low is None or mark.high is None else f" [{mark.low:.4g}, {mark.high:.4g}]"
    is_alike = mark.protocol == course.protocol
    return f"{'' if is_alike else '~ '}{mark.value:.4g}{interval}"


def _facts(course: "Course") -> dict[str, object]:
    facts = course.model_dump(mode="json", exclude={"panels", "looks", "rows"})
    rows = [
        {**row.model_dump(mode="json", exclude={"marks"}), "scores": {k: m._asdict() for k, m in row.marks.items()}}
        for row in course.rows
    ]
    return {**facts, "rows": rows}
