"""Commands of people who decide: approve, reject; and history, which says what was decided and why."""

import json
from typing import Annotated

from cyclopts import Parameter

from components.workspace import Workspace
from flows.cli.tables import say
from flows.cli.told import tell

Name = Annotated[str, Parameter(help="Registered name, as `kintsugi models` shows it.")]
Number = Annotated[int, Parameter(help="A version that the gate holds.")]
By = Annotated[str, Parameter(help="Who decides, for the ledger.")]
Reason = Annotated[str, Parameter(help="Why, for the ledger: one line.")]


def approve(name: Name, version: Number, *, by: By, reason: Reason) -> None:
    """Put a version in service that the gate holds, unless the champion has changed since."""
    from components.events.known import Promoted
    from components.tracking import decisions, registry, runs

    runs.configure(Workspace.from_environment().home)
    before = registry.champion(name)
    decisions.approve(name, version, by=by, reason=reason)
    if before == version:
        say(f"{name}: version {version} is in service already; nothing changed")
        return
    say(f"{name}: version {version} is in service, it was {before}; approved by {by}: {reason}")
    tell(Promoted(model=name, version=version, champion=before, by=by, reasons=(reason,)))
    if before is not None:
        say(f"Undo: kintsugi rollback {name}")


def reject(name: Name, version: Number, *, by: By, reason: Reason) -> None:
    """Refuse a version that the gate holds. No run puts it in service by itself any more."""
    from components.events.known import Refused
    from components.tracking import decisions, runs

    runs.configure(Workspace.from_environment().home)
    standing = decisions.reject(name, version, by=by, reason=reason)
    say(f"{name}: version {version} is rejected by {by}: {reason}")
    tell(Refused(model=name, version=version, champion=standing.champion, by=by, reasons=(reason,)))
    say(f"In service: {'no version' if standing.champion is None else f'version {standing.champion}'}")


def history(
    name: Name,
    *,
    as_json: Annotated[bool, Parameter(name="--json", help="Print JSON for scripts.", negative=())] = False,
) -> None:
    """Say what was decided on a model's versions: when, by whom, why, against which champion."""
    from components.tracking import chronicle, runs

    runs.configure(Workspace.from_environment().home)
    events = chronicle.history(name)
    if as_json:
        say(json.dumps([event.model_dump(mode="json") | {"sentence": event.sentence} for event in events], indent=1))
        return
    for event in events:
        say(event.sentence)
    if not events:
        say(f"{name}: nothing was decided yet")
