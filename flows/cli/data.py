"""Commands of the data: which versions there are, what changed between two, whether they are whole."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from components.workspace import Workspace
from flows.cli.pipeline import AsJson, Config, Overrides, trained_anew
from flows.cli.progress import watched
from flows.cli.tables import say, table

if TYPE_CHECKING:
    from components.artifacts import Store
    from components.config import RunConfig
    from components.data import ShardSet
    from components.data.history import Version
    from components.stages.forget import Trace

data = App(
    name="data", help="Show a dataset's versions, what changed, whether all is whole, what is odd; forget images."
)
Of = Annotated[str, Parameter(help="The run's YAML file, whose dataset is meant, or the digest of one version.")]
_Version = Annotated[str | None, Parameter(help="A version: its number, as `show` lists it, or its digest.")]
_Place = Annotated[
    str | None,
    Parameter(name="--store", help="Artifact store of a digest: a folder or s3://bucket/prefix; else KINTSUGI_STORE."),
]
_DIGEST = re.compile(r"[0-9a-f]{20}")
_SHOWN = 10

data.command("flows.cli.quality:quality", name="quality", help="Say what is odd about a run's images.")


@data.command
def show(of: Of, *, set_: Overrides = (), store: _Place = None, as_json: AsJson = False) -> None:
    """List the versions of a dataset: images, what each took, and what it points to."""
    found = _asked(of, set_, store)[1]
    if as_json:
        say(json.dumps([one.model_dump(mode="json") for one in found], indent=1))
        return
    if not found:
        say("there is no version of this dataset yet; kintsugi shard CONFIG makes the first")
        return
    heads = [
        "version",
        "images",
        "read",
        "encoded",
        "kept",
        "gone",
        "tombstones",
        "own",
        "pointed to",
        "base",
        "digest",
    ]
    say(table(heads, [_row(one) for one in found]))


@data.command
def diff(
    of: Of,
    one: _Version = None,
    other: _Version = None,
    *,
    set_: Overrides = (),
    store: _Place = None,
    as_json: AsJson = False,
) -> None:
    """Say which images are new, gone or of another class: of the last two versions, or of two that are named.

    Of a digest: since the version it grew from, or since the version ONE.
    """
    from components.data import ShardSet
    from components.data.history import difference

    kept, found = _asked(of, set_, store)
    before, after = _two(of, [name for name in (one, other) if name is not None], found)
    changed = difference(kept.get(ShardSet, before), kept.get(ShardSet, after))
    if as_json:
        say(changed.model_dump_json(indent=1))
        return
    say(f"{before} -> {after}: {len(changed.new):,} new, {len(changed.gone):,} gone, "
        f"{len(changed.changed_class):,} of another class")  # fmt: skip
    _list("new", changed.new)
    _list("gone", changed.gone)
    _list("class", [f"{two.key}  {two.before} -> {two.after}" for two in changed.changed_class])


@data.command
def verify(
    of: Of,
    *,
    set_: Overrides = (),
    store: _Place = None,
    forgotten: Annotated[
        bool, Parameter(help="Also prove that no tar of the store holds an image that was forgotten.", negative=())
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Recompute the sha256 of every tar of a dataset's versions, and check the indexes against the tars."""
    from components.data.forgetting import remains
    from components.data.history import problems
    from flows.watching import watcher

    kept, found = _asked(of, set_, store)
    with watched():
        told = {one.digest: list(problems(one.digest, kept, watcher.get())) for one in found}
        if forgotten:
            told["forgotten images"] = list(remains(kept))
    if as_json:
        say(json.dumps(told, indent=1))
    else:
        for digest, words in told.items():
            good = "whole" if _DIGEST.fullmatch(digest) else "none is left"
            say(f"{digest}: {good if not words else ''}".rstrip())
            for problem in words:
                say(f"  {problem}")
    if any(told.values()):
        raise SystemExit(1)


@data.command
def forget(
    config: Config,
    *images: Annotated[str, Parameter(help="Keys of images, or the names of their files within the source.")],
    list_: Annotated[Path | None, Parameter(name="--list", help="A file that names one image per line.")] = None,
    reason: Annotated[str, Parameter(help="With --yes: why. It is recorded and shown beside every refusal.")] = "",
    yes: Annotated[bool, Parameter(help="Do it. Without, only what saw the images is said.", negative=())] = False,
    retrain: Annotated[
        bool, Parameter(help="With --yes: then train the run's models without the images, from scratch.", negative=())
    ] = False,
    set_: Overrides = (),
    as_json: AsJson = False,
) -> None:
    """Say what saw an image and, with --yes, take it out for good: refused, deleted, models marked that learnt from it.

    Every data version and every frozen evaluation set of the store that holds its bytes is deleted, after the version
    of this dataset without it was written. What models have learnt stays in them until they are trained again, which
    --retrain does; none begins with the weights of a model that is marked. Pages that show the image stay where they
    were written: they are listed.
    """
    from components.artifacts import Store
    from components.config import load
    from components.stages import forget as stage

    named = [*images, *(list_.read_text(encoding="utf-8").split("\n") if list_ else ())]
    named = [name for name in named if name.strip()]
    if not named or (yes and not reason.strip()):
        raise ValueError("expected images to forget" if not named else "--reason is needed with --yes: it is recorded")
    if retrain and not yes:
        raise ValueError("--retrain trains without the images, which only --yes takes out")
    run, workspace = load(config, set_), Workspace.from_environment().create()
    store = Store.open(run.store or workspace.default_store, workspace.cache)
    with watched():
        found = stage.trace(named, run, store, workspace)
        made = stage.forget(found, run, store, workspace, reason) if yes else None
    address = trained_anew(config, set_) if yes and retrain else None
    if as_json:
        say(json.dumps(found.model_dump(mode="json") | {"now": made and made.digest, "page": address}, indent=1))
        return
    _tell(found)
    if made is None:
        say("Nothing was changed: with --yes and --reason WHY they are forgotten.")
        return
    say(f"Forgotten. The data without them: {made.digest}, {made.accepted:,} images.")
    say(
        f"Trained without them; page: {address}"
        if address
        else f"What models learnt of them stays until they are trained anew: kintsugi run {config} --regardless"
    )


def _tell(found: "Trace") -> None:
    held = found.held
    say(f"images: {', '.join(held.keys)}")
    for what, names in {
        "seen in data versions": held.seen_in,
        "bytes to delete in data versions": held.versions,
        "in frozen evaluation sets": held.corruption_sets,
        **{f"made from these: {kind}": digests for kind, digests in found.made_from.items()},
        "registered models that learnt from them": [f"{name} version {version}" for name, version in found.models],
    }.items():
        say(f"  {what}: {', '.join(names) or 'none'}")


def _asked(of: str, overrides: Overrides, place: str | None) -> "tuple[Store, list[Version]]":
    """Return the store that is meant, and the versions: of a configuration's dataset, or the one of a digest."""
    from components.artifacts import Store
    from components.data.history import history, version_of

    workspace = Workspace.from_environment()
    if not _DIGEST.fullmatch(of):
        run = _run(of, overrides)
        store = Store.open(place or run.store or workspace.default_store, workspace.cache)
        return store, history(run.dataset, store)
    if overrides:
        raise ValueError("--set changes a configuration; of a digest nothing can be changed")
    store = Store.open(place or workspace.default_store, workspace.cache)
    return store, [version_of(_named(of, store))]


def _run(of: str, overrides: Overrides) -> "RunConfig":
    from components.config import load

    return load(Path(of), overrides)


def _named(digest: str, store: "Store") -> "ShardSet":
    from components.data import ShardSet

    shards = store.by_digest(ShardSet, digest)
    if shards is None:
        raise ValueError(f"{store.place}: there is no data version {digest}")
    return shards


def _two(of: str, names: list[str], found: "list[Version]") -> tuple[str, str]:
    """Return the digests of the two versions that are to be compared, the earlier one first."""
    if _DIGEST.fullmatch(of):
        grown = found[0].growth
        before = names[0] if names else grown.base if grown else None
        if before is None or len(names) > 1:
            raise ValueError(f"{of}: expected one digest to compare it with; it did not grow from another version")
        return before, of
    if not names:
        if len(found) < 2:
            raise ValueError(f"{of}: two versions are compared, and there are {len(found)} of this dataset")
        return found[-2].digest, found[-1].digest
    digests = [_digest(name, found) for name in names]
    return (digests[0], digests[1]) if len(digests) == 2 else (digests[0], found[-1].digest)


def _digest(name: str, found: "list[Version]") -> str:
    for one in found:
        if name in {str(one.number), one.digest}:
            return one.digest
    there = ", ".join(str(one.number) for one in found) or "none"
    raise ValueError(f"{name}: no such version of this dataset; there are: {there}")


def _row(one: "Version") -> list[str]:
    took = one.growth
    counts = (took.read, took.encoded, took.kept, took.gone) if took else ()
    return [
        "-" if one.number is None else str(one.number),
        f"{one.images:,}",
        *([f"{count:,}" for count in counts] or ["-"] * 4),
        f"{one.tombstones:,}",
        f"{one.own_bytes / 1e6:.1f} MB",
        f"{one.pointed_bytes / 1e6:.1f} MB",
        (took.base if took else None) or "-",
        one.digest,
    ]


def _list(what: str, lines: "list[str] | tuple[str, ...]") -> None:
    for line in lines[:_SHOWN]:
        say(f"  {what}  {line}")
    if len(lines) > _SHOWN:
        say(f"  {what}  and {len(lines) - _SHOWN:,} more, which --json lists")
