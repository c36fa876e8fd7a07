"""Command sweep: a search over values of one model's configuration."""

import json
from typing import TYPE_CHECKING

from components.workspace import Workspace
from flows.cli.pipeline import AsJson, Config, Overrides
from flows.cli.progress import watched
from flows.cli.tables import say, table
from flows.server_guard import guard_server

if TYPE_CHECKING:
    from components.report.sweep import SweepContent, TrialRow


def sweep(config: Config, *, set_: Overrides = (), as_json: AsJson = False) -> None:
    """Try values of one model's configuration, and write the page that ranks them.

    The file's section `sweep` says which, how long and at what cost. Trials are ordinary trainings that stop at rungs,
    where the better ones go on. What is stopped or killed is continued by the same command.
    """
    from components.search.proposals import read

    read(config, set_)  # before a server is started, which takes half a minute
    Workspace.from_environment().create()
    with watched():
        guard_server()
        from flows import search

        content, page = search.sweep(config, set_)
    if as_json:
        say(json.dumps({**_facts(content), "page": page.as_uri()}, indent=1))
        return
    _show(content)
    say(f"Page: {page.as_uri()}")


def _show(content: "SweepContent") -> None:
    from components.report.scores import number
    from components.report.sweep import verdict

    paths = list(content.trials[0].values) if content.trials else []
    heads = ["rank", "trial", *paths, *(f"at {place:,}" for place in content.places), "hours", "why"]
    say(table(heads, [_line(row, content) for row in content.trials]))
    for one in content.judged:
        low, high = number(one.low), number(one.high)
        say(f"trial {one.trial}, seed {one.seed}: {one.metric} {number(one.value)} [{low}, {high}]")
    say(verdict(content))
    if content.overrides:
        say(content.arguments)


def _line(row: "TrialRow", content: "SweepContent") -> list[str]:
    from components.report.scores import number

    scores = ["failed" if score is None else number(score) for score in row.scores]
    scores += ["-"] * (len(content.places) - len(scores))
    return [str(row.rank), row.name, *row.words.values(), *scores, number(content.hours[row.trial]), row.reason]


def _facts(content: "SweepContent") -> dict[str, object]:
    """Return what scripts read: without curves and without the moment."""
    facts = content.model_dump(mode="json", exclude={"trials": {"__all__": {"curve"}}, "written": True})
    return {**facts, "set": list(content.overrides)}
