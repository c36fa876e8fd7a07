"""The command `gc`: what nothing in use needs any more, and deleting it."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

from components.artifacts.collecting import Fate
from components.workspace import Workspace
from flows.cli.registry import AsJson
from flows.cli.tables import say, table

_SHOWN = {"deleted": "deleted", "marked": "marked", "unneeded": "not needed", "kept": "kept"}
_UNITS = ("B", "kB", "MB", "GB", "TB")
_STEP = 1000


def gc(
    *,
    store: Annotated[
        str | None, Parameter(help="Artifact store: a folder or s3://bucket/prefix; by default KINTSUGI_STORE.")
    ] = None,
    delete: Annotated[
        bool, Parameter(help="Mark what is not needed, and delete what was marked before.", negative=())
    ] = False,
    keep_days: Annotated[float, Parameter(help="What was made, or named by a run, within so many days stays.")] = 30.0,
    grace_hours: Annotated[float, Parameter(help="Hours between mark and deletion; 0 only while nothing runs.")] = 20.0,
    as_json: AsJson = False,
) -> None:
    """Say what nothing in use needs any more, in store, cache and MLflow; --delete deletes it.

    In use are versions in service, the ones before them and those that wait for a decision, pinned evaluation sets, the
    newest data, and what recent runs name. What is not needed is marked first, and deleted by a later call that still
    finds no need for it.
    """
    from components.artifacts import Store
    from components.artifacts.collecting import Retention
    from components.stages.collect import collect_all
    from components.tracking import runs

    if keep_days < 0 or grace_hours < 0:
        raise ValueError(f"--keep-days {keep_days:g} --grace-hours {grace_hours:g}: expected numbers from 0")
    workspace = Workspace.from_environment().create()
    artifacts = Store.open(store or workspace.default_store, workspace.cache)
    runs.configure(workspace.home)
    retention = Retention(keep_days=keep_days, grace_hours=grace_hours)
    fates = list(collect_all(artifacts, workspace, retention, delete=delete))
    if as_json:
        say(json.dumps([fate.model_dump(mode="json") for fate in fates], indent=1))
        return
    _show(fates, delete=delete, retention_words=f"{grace_hours:g} h")


def _show(fates: Sequence[Fate], *, delete: bool, retention_words: str) -> None:
    count: Counter[tuple[str, str, str]] = Counter()
    size: Counter[tuple[str, str, str]] = Counter()
    for fate in fates:
        line = (fate.what, fate.becomes, fate.why)
        count[line] += 1
        size[line] += fate.bytes
    if count:
        rows = [
            [what, _SHOWN[becomes], f"{count[what, becomes, why]:,}", _words(size[what, becomes, why]), why]
            for what, becomes, why in sorted(count, key=lambda line: (list(_SHOWN).index(line[1]), line))
        ]
        say(table(["kind", "becomes", "count", "size", "why"], rows))
    totals = {becomes: sum(fate.bytes for fate in fates if fate.becomes == becomes) for becomes in _SHOWN}
    said = ", ".join(f"{_words(totals[becomes])} {words}" for becomes, words in _SHOWN.items() if totals[becomes])
    say(said or "there is nothing yet")
    if not delete and totals["unneeded"] + totals["marked"]:
        say("nothing was changed; kintsugi gc --delete marks what is not needed, and deletes what was marked before")
    elif delete and totals["marked"]:
        say(f"what is marked goes with the next kintsugi gc --delete after {retention_words}, unless it is used again")


def _words(size: float) -> str:
    """Return a number of bytes in the largest unit that leaves a whole one."""
    unit = 0
    while size >= _STEP and unit < len(_UNITS) - 1:
        size, unit = size / _STEP, unit + 1
    return f"{size:.3g} {_UNITS[unit]}"
