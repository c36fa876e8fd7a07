"""The registry: versions with lineage, and which of them is challenger, champion and previous.

What is true is in the promotion ledger and in version tags; MLflow's aliases are copies, set again by `reconcile`.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from components.tracking import versions
from components.tracking.ledger import LedgerError, append
from components.tracking.packaging import SERVING, AlteredModelError, Delivery, fetch, log_export
from components.tracking.redaction import redact_text
from components.tracking.standing import (
    ModelRecord,
    Standing,
    State,
    find_or_create_model,
    known_models,
    read_state,
    record_of,
    set_aliases,
)
from components.tracking.versions import KeptDecision, Version

Alias = Literal["champion", "challenger", "previous"]

_ROUNDS = 20


class ChampionMovedError(RuntimeError):
    """Someone else changed the champion; judge the challenger against the present one."""

    def __init__(self, name: str, judged_against: int | None, champion: int | None) -> None:
        super().__init__(
            f"{name}: expected version {judged_against} in service, found {champion}; judge against that one"
        )
        self.champion = champion


class WithdrawnError(ValueError):
    """A version that was rolled back is not put in service again without a person's word."""


def register(
    name: str,
    export: Path,
    *,
    export_digest: str,
    family: str,
    lineage: Mapping[str, str],
    run_id: str,
    scores: Mapping[str, float] | None = None,
    score_table: str | None = None,
    loader_module: str = SERVING,
) -> int:
    """Return the version of this export: a new one, or the one that an earlier call made.

    Args:
        name: Name of the model; created with its promotion ledger if missing.
        export: Folder with model.safetensors and model.json.
        export_digest: Identity of the export.
        family: "gan", "vae" or "inpainter".
        lineage: Digests of data set, shards, corruption set, config and code.
        run_id: The run that trained it.
        scores: Single values worth showing; those that are not finite are left out.
        score_table: The whole table with its protocols, as JSON text.
        loader_module: Module that MLflow loads the export with; see `packaging.log_export`.
    """
    versions.demand_plain("model name", name)
    versions.demand_plain("export digest", export_digest)
    client = MlflowClient()
    find_or_create_model(client, name)
    version = versions.first_of_digest(client, name, export_digest)
    if version is None:
        package = log_export(
            name, export, export_digest=export_digest, family=family, run_id=run_id, loader_module=loader_module
        )
        versions.create_version(client, name, package, export_digest, family, lineage, run_id)
        version = versions.first_of_digest(client, name, export_digest)
        if version is None:
            raise RuntimeError(f"{name}: the version just made of export {export_digest} is gone again")
    versions.attach_scores(client, version, scores or {}, score_table)
    reconcile(name)
    return version.number


def record_scores(name: str, version: int, scores: Mapping[str, float], score_table: str | None = None) -> None:
    """Attach scores to a version, in place of those it had: after it was measured again under another protocol."""
    client = MlflowClient()
    versions.attach_scores(client, _version(client, name, version), scores, score_table)


def score_table(name: str, version: int) -> str | None:
    """Return the JSON text of a version's score table, its sha256 checked, or None if it has none."""
    return versions.read_score_table(_version(MlflowClient(), name, version))


def run_of(name: str, version: int) -> str:
    """Return the id of the run that trained a version."""
    return _version(MlflowClient(), name, version).run_id


def record_decision(
    name: str, version: int, verdict: str, reasons: Sequence[str], *, judged_against: int | None
) -> None:
    """Write the gate's decision to the version. A rejected version is no longer the challenger."""
    client = MlflowClient()
    decided = KeptDecision(verdict, tuple(reasons), judged_against)
    versions.attach_decision(client, _version(client, name, version), decided)
    reconcile(name)


def decision(name: str, version: int) -> KeptDecision | None:
    """Return the gate's last decision about a version; None before the first."""
    return _version(MlflowClient(), name, version).decision


def promote(name: str, version: int, *, judged_against: int | None, by: str = "", again: bool = False) -> Standing:
    """Make `version` champion, if the champion is still the one it was judged against.

    Calling it again after a crash is safe: a version that is champion already stays so.

    Args:
        name: Name of the model.
        version: The version to put in service.
        judged_against: The champion it was compared with; None if there was none.
        by: Who or what decided, for the ledger.
        again: Also promote a version that was rolled back before; a person's choice, never a schedule's.

    Raises:
        ChampionMovedError: The champion is another one now.
        WithdrawnError: The version was rolled back before.
        ValueError: There is no such version.
    """
    client = MlflowClient()
    state = read_state(client, name)
    if state.history.champion != version:
        candidate = _one(name, state.versions, version)
        if version in state.history.withdrawn and not again:
            raise WithdrawnError(f"{name} {version} was rolled back before; only a person may promote it again")
        if state.history.champion != judged_against:
            raise ChampionMovedError(name, judged_against, state.history.champion)
        _change_champion(client, state, "promote", candidate, by)
    return reconcile(name)


def rollback(name: str, to: int | None = None, *, by: str = "") -> Standing:
    """Put the previous champion, or version `to`, in service. `promote` then refuses what was rolled back.

    Raises:
        ChampionMovedError: Someone else changed the champion meanwhile.
        ValueError: There is nothing to return to.
    """
    client = MlflowClient()
    state = read_state(client, name)
    target = state.previous if to is None else to
    if state.history.champion is None or target is None:
        raise ValueError(f"{name}: no earlier champion to return to; the champion is {state.history.champion}")
    if target != state.history.champion:
        _change_champion(client, state, "rollback", _one(name, state.versions, target), by)
    return reconcile(name)


def reconcile(name: str) -> Standing:
    """Make MLflow's aliases say what the ledger says, and return it. Safe to call at any time, by anyone.

    Raises:
        LedgerError: The ledger cannot be trusted, or the champion it names was deleted.
    """
    client = MlflowClient()
    state = read_state(client, name)
    for _ in range(_ROUNDS):
        standing = state.standing
        if standing.champion is not None:
            if standing.champion not in state.versions:
                raise LedgerError(f"{name}: its champion, version {standing.champion}, was deleted; roll back")
            mark = {"kintsugi.ledger_entry": str(len(state.history.entries))}
            versions.set_version_tags(client, state.versions[standing.champion], mark)
        set_aliases(client, name, standing)
        state = read_state(client, name)
        if state.standing == standing:
            return standing
    raise RuntimeError(f"{name}: the champion changed {_ROUNDS} times while its aliases were set; try again")


def champion(name: str) -> int | None:
    """Return the version in service, by the ledger and not by the alias; None before the first promotion."""
    return read_state(MlflowClient(), name).standing.champion


def challenger(name: str) -> int | None:
    """Return the newest version while it is neither promoted nor rejected, else None."""
    return read_state(MlflowClient(), name).standing.challenger


def models() -> list[ModelRecord]:
    """Return every model that has a promotion ledger, by name."""
    client = MlflowClient()
    return [record_of(name, read_state(client, name)) for name in known_models(client)]


def download(name: str, which: int | Alias, to: Path) -> Delivery:
    """Copy a version to the folder `to`, checked file by file against what was registered; reuse a whole copy.

    Args:
        name: Name of the model.
        which: A version, or the part it plays by the ledger.
        to: A folder of this version alone; appears only when every file was checked.

    Raises:
        AlteredModelError: A file is missing, added or altered.
        LedgerError: The ledger cannot be trusted.
        ValueError: No such version, or something else lies at `to`.
    """
    state = read_state(MlflowClient(), name)
    parts = vars(state.standing)
    number = which if isinstance(which, int) else parts[which]
    if number is None:
        raise ValueError(f"{name} has no {which} yet")
    version = _one(name, state.versions, number)
    try:
        return Delivery(number, to, fetch(version.model_id, version.files, to))
    except AlteredModelError as error:
        raise AlteredModelError(f"{name} {number} was altered after it was registered: {error}") from error


def verify(name: str) -> tuple[str, ...]:
    """Return what is wrong with a model, in words; empty if ledger, aliases and files are what they should be.

    The files of champion, challenger and previous are downloaded and hashed.
    """
    client = MlflowClient()
    try:
        state = read_state(client, name)
    except LedgerError as error:
        return (str(error),)
    problems = []
    aliases = client.get_registered_model(name).aliases
    for part, number in vars(state.standing).items():
        found = aliases.get(part)
        if str(found) != str(number):
            problems.append(f"{name}: the alias {part} points to {found}, the ledger says {number}; reconcile sets it")
        if number is not None:
            problems += _problems_of(name, state, number)
    return tuple(problems)


def _problems_of(name: str, state: State, number: int) -> list[str]:
    if number not in state.versions:
        return [f"{name} {number} was deleted"]
    version = state.versions[number]
    problems = []
    with tempfile.TemporaryDirectory(prefix="kintsugi-verify-") as scratch:
        try:
            fetch(version.model_id, version.files, Path(scratch) / "model")
            versions.read_score_table(version)
        except (AlteredModelError, MlflowException, OSError) as error:
            problems.append(f"{name} {number}: {error}")
    said = [entry.export for entry in state.history.entries if entry.version == number]
    if any(export != version.export_digest for export in said):
        problems.append(f"{name} {number}: the ledger promoted another export than the version now names")
    return problems


def _change_champion(
    client: MlflowClient, state: State, action: Literal["promote", "rollback"], version: Version, by: str
) -> None:
    """Write the next ledger entry; if someone else wrote that place first, accept only the same outcome."""
    entry = state.history.next_entry(action, version.number, version.export_digest, redact_text(by))
    if append(client, state.ledger, state.history, entry):
        return
    now = read_state(client, version.name).history.champion
    if now != version.number:
        raise ChampionMovedError(version.name, state.history.champion, now)


def _one(name: str, kept: Mapping[int, Version], number: int) -> Version:
    if number not in kept:
        raise ValueError(f"{name} has no version {number}; there are: {', '.join(map(str, sorted(kept))) or 'none'}")
    return kept[number]


def _version(client: MlflowClient, name: str, number: int) -> Version:
    return _one(name, versions.all_versions(client, name), number)
