"""Commands of the registry: models, rollback, verify."""

import json
from typing import Annotated

from cyclopts import App, Parameter

from components.workspace import Workspace
from flows.cli.tables import say, table

app = App()

AsJson = Annotated[bool, Parameter(name="--json", help="Print JSON for scripts.", negative=())]
_SHOWN = ("psnr_hole", "fd_efficientnet_lite0", "fid", "reconstruction_psnr")


@app.command
def models(*, as_json: AsJson = False) -> None:
    """List the registered models: which version is in service, and how good it is."""
    from components.tracking import registry, runs

    runs.configure(Workspace.from_environment().home)
    records = registry.models()
    if as_json:
        say(json.dumps([record.model_dump(mode="json") for record in records], indent=1))
        return
    if not records:
        say("no models yet; kintsugi run CONFIG makes some")
        return
    rows = [
        [
            record.name,
            record.family,
            *("-" if part is None else str(part) for part in (record.champion, record.challenger, record.previous)),
            "  ".join(f"{name} {record.scores[name]:.4g}" for name in _SHOWN if name in record.scores),
        ]
        for record in records
    ]
    say(table(["name", "family", "champion", "challenger", "previous", "scores"], rows))


@app.command
def rollback(
    name: Annotated[str, Parameter(help="Registered name, as `kintsugi models` shows it.")],
    *,
    to: Annotated[int | None, Parameter(help="Version to return to; by default the previous champion.")] = None,
) -> None:
    """Put the previous champion back in service. What was rolled back is not promoted again by a schedule."""
    from components.tracking import registry, runs

    runs.configure(Workspace.from_environment().home)
    before = registry.champion(name)
    standing = registry.rollback(name, to, by="kintsugi rollback")
    say(f"{name}: version {standing.champion} is in service, it was {before}; previous is {standing.previous}")


@app.command
def verify(
    name: Annotated[str | None, Parameter(help="Registered name; all models if left out.")] = None,
    *,
    store: Annotated[str | None, Parameter(help="Artifact store of the run, if its configuration names one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check ledger, aliases and files of models, and the champion's lineage down to the shards, byte by byte."""
    from components.artifacts import Store
    from components.stages.lineage import verify_lineage
    from components.tracking import registry, runs

    workspace = Workspace.from_environment()
    runs.configure(workspace.home)
    artifacts = Store.open(store or workspace.default_store, workspace.cache).root
    known = {record.name: record for record in registry.models()}
    if name is not None and name not in known:
        raise ValueError(f"no model {name!r} is registered; there are: {', '.join(known) or 'none'}")
    problems = {
        one: [*registry.verify(one), *verify_lineage(artifacts, known[one].lineage)]
        for one in ([name] if name else known)
    }
    if as_json:
        say(json.dumps(problems, indent=1))
    else:
        for one, found in problems.items():
            say(f"{one}: {'whole' if not found else ''}")
            for problem in found:
                say(f"  {problem}")
    if any(problems.values()):
        raise SystemExit(1)
