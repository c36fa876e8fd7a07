"""Commands of the registry: models, rollback, verify."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from components.workspace import Workspace
from flows.cli.progress import watched
from flows.cli.tables import say, table
from flows.cli.told import tell

if TYPE_CHECKING:
    from components.artifacts import Store

AsJson = Annotated[bool, Parameter(name="--json", help="Print JSON for scripts.", negative=())]
_ROLLBACK = "kintsugi rollback"
_SHOWN = ("psnr_hole", "fd_efficientnet_lite0", "fid", "reconstruction_psnr")


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


def rollback(
    name: Annotated[str, Parameter(help="Registered name, as `kintsugi models` shows it.")],
    *,
    to: Annotated[int | None, Parameter(help="Version to return to; by default the previous champion.")] = None,
    override: Annotated[
        bool, Parameter(help="Take a version that the gate did not let through; needs --by and --reason.", negative=())
    ] = False,
    by: Annotated[str, Parameter(help="With --override: who decides, for the ledger.")] = "",
    reason: Annotated[str, Parameter(help="With --override: why, for the ledger.")] = "",
) -> None:
    """Put the previous champion back in service. What was taken out is not promoted again by a schedule."""
    from components.events.known import Promoted
    from components.tracking import registry, runs

    if len({override, bool(by.strip()), bool(reason.strip())}) > 1 or (override and to is None):
        raise ValueError("--to VERSION --override --by WHO --reason WHY: expected all four, or no override")
    runs.configure(Workspace.from_environment().home)
    before = registry.champion(name)
    standing = registry.rollback(name, to, by=by or _ROLLBACK, reason=reason, override=override)
    if standing.champion == before:
        say(f"{name}: version {before} is in service already; nothing changed")
        return
    say(f"{name}: version {standing.champion} is in service, it was {before}; previous is {standing.previous}")
    why = reason or f"rolled back from version {before}"
    tell(Promoted(model=name, version=standing.champion or 0, champion=before, by=by or _ROLLBACK, reasons=(why,)))
    if override:
        say(f"Against the gate's word, by {by}: {reason}")
    say(f"Undo: {_undo(name, before, standing.previous)}")


def _undo(name: str, before: int | None, previous: int | None) -> str:
    """Return the command that puts the version that was in service there again."""
    from components.tracking import registry

    if before == previous:
        return f"kintsugi rollback {name}"
    try:
        decided = registry.decision(name, before or 0)
    except ValueError as error:
        return f"not possible: {error}"
    passed = decided is not None and decided.verdict == "promote"
    return f"kintsugi rollback {name} --to {before}" + ("" if passed else " --override --by WHO --reason WHY")


def verify(
    name: Annotated[
        str | None, Parameter(help="Registered name, or a picture that says what made it; all models if left out.")
    ] = None,
    *,
    store: Annotated[
        str | None, Parameter(help="Artifact store: a folder or s3://bucket/prefix; by default KINTSUGI_STORE.")
    ] = None,
    deep: Annotated[
        bool,
        Parameter(help="Read every byte of a shared store; without NAME, of every artifact in the store.", negative=()),
    ] = False,
    adopt: Annotated[
        bool, Parameter(help="Look at versions registered by earlier releases, and seal them.", negative=())
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check ledger, aliases and files of models, and the champion's lineage down to the shards.

    Of a picture that this program made or mended: what it says, and the same of the version that it names. Anyone can
    write what a picture says; it is no signature.
    """
    from components.artifacts import Store
    from components.artifacts.audit import audit_all
    from components.stages.lineage import verify_lineage
    from components.tracking import registry, runs
    from flows.watching import watcher

    workspace = Workspace.from_environment().create()
    artifacts = Store.open(store or workspace.default_store, workspace.cache)
    runs.configure(workspace.home)
    if name is not None and Path(name).is_file():
        _verify_picture(Path(name), artifacts, deep=deep, as_json=as_json)
        return
    known = {record.name: record for record in registry.models()}
    if name is not None and name not in known:
        raise ValueError(
            f"no model {name!r} is registered, nor is there such a file; there are: {', '.join(known) or 'none'}"
        )
    problems: dict[str, list[str]] = {}
    with watched():
        progress = watcher.get()
        for one in [name] if name else known:
            refused = _adopted(one, quiet=as_json) if adopt else []
            lineage = verify_lineage(artifacts, known[one].lineage, deep=deep, progress=progress)
            problems[one] = [*refused, *registry.verify(one), *lineage]
        if deep and name is None:
            found = audit_all(artifacts, deep=True, progress=progress)
            problems[artifacts.place] = [f"{artifact}: {problem}" for artifact, problem in found]
    _report(problems, as_json=as_json)


def _verify_picture(path: Path, store: "Store", *, deep: bool, as_json: bool) -> None:
    from flows.cli import origin

    said = origin.traced(origin.stated(path))
    with watched():
        found = list(origin.problems(said, store, deep=deep))
    if as_json:
        say(json.dumps({"provenance": said.model_dump(exclude_none=True), "problems": found}, indent=1))
        if found:
            raise SystemExit(1)
        return
    say(f"{path}: {origin.told(said)}")
    _report({origin.named(said): found}, as_json=False)


def _adopted(name: str, *, quiet: bool) -> list[str]:
    """Seal what can be sealed, say so, and return why the rest was not."""
    from components.recipes.export import export_digest
    from components.tracking import registry

    adoption = registry.adopt(name, export_digest)
    if adoption.adopted and not quiet:
        say(f"{name}: sealed version {', '.join(map(str, adoption.adopted))}")
    return list(adoption.refused)


def _report(problems: dict[str, list[str]], *, as_json: bool) -> None:
    if as_json:
        say(json.dumps(problems, indent=1))
    else:
        for one, found in problems.items():
            say(f"{one}: {'whole' if not found else ''}".rstrip())
            for problem in found:
                say(f"  {problem}")
    if any(problems.values()):
        raise SystemExit(1)
