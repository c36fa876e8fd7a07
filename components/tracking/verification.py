"""Verification: whether ledger, aliases, versions and files of a model agree; and adoption of versions from before."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from components.tracking import seals, versions
from components.tracking.client import MlflowClient, mlflow
from components.tracking.ledger import LedgerError
from components.tracking.packaging import SERVING, AlteredModelError, Package, fetch
from components.tracking.standing import State, read_state
from components.tracking.versions import Version


@dataclass(frozen=True)
class Adoption:
    """What became of the versions that the ledger said nothing of."""

    adopted: tuple[int, ...]
    """Sealed now."""
    refused: tuple[str, ...]
    """Why the others were not, in words."""


def verify(name: str, *, loader_module: str = SERVING) -> tuple[str, ...]:
    """Return what is wrong with a model, in words; empty if ledger, aliases, versions and files agree.

    Every version is compared with the ledger. The files of champion, challenger and previous are downloaded and hashed.
    Nothing is loaded.
    """
    client = MlflowClient()
    try:
        state = read_state(client, name)
    except LedgerError as error:
        return (str(error),)
    parts = vars(state.standing)
    aliases = client.get_registered_model(name).aliases
    problems = []
    for part, number in parts.items():
        if str(aliases.get(part)) != str(number):
            problems.append(
                f"{name}: the alias {part} points to {aliases.get(part)}, the ledger says {number}; reconcile sets it"
            )
    for number in sorted({*state.versions, *state.strangers, *(one for one in parts.values() if one is not None)}):
        problems += _problems_of(state, number, loader_module, with_files=number in parts.values())
    return tuple(problems)


def adopt(name: str, digest_of: Callable[[Path], str], *, loader_module: str = SERVING) -> Adoption:
    """Seal the versions that the ledger says nothing of, after looking at each; for a person, never a schedule.

    A version is sealed if its files are those in its tags, none of them could run code, the export among them has the
    digest that the version names, and the ledger promoted no other export under its number.

    Args:
        name: Name of the model.
        digest_of: Computes the digest of an export folder.
        loader_module: The module that their MLmodel may name.
    """
    client = MlflowClient()
    state = read_state(client, name)
    adopted, refused = [], []
    for number, version in sorted(state.versions.items()):
        if seals.is_sealed(state.params, number):
            continue
        try:
            _demand_own_export(state, version, digest_of, loader_module)
            seals.seal_export(client, state.ledger, version.export_digest, Package(version.model_id, version.files))
            seals.seal_version(client, state.ledger, version)
        except (AlteredModelError, mlflow.exceptions.MlflowException, OSError) as error:
            refused.append(f"{name} {number}: {error}")
        else:
            adopted.append(number)
    return Adoption(tuple(adopted), tuple(refused))


def _demand_own_export(state: State, version: Version, digest_of: Callable[[Path], str], loader_module: str) -> None:
    for entry in state.history.entries:
        if entry.version == version.number and entry.export != version.export_digest:
            raise AlteredModelError(
                f"its tags name the export {version.export_digest}, the ledger promoted {entry.export}"
            )
    with tempfile.TemporaryDirectory(prefix="kintsugi-adopt-") as scratch:
        export = fetch(version.model_id, version.files, Path(scratch) / "model", loader_module)
        if (found := digest_of(export)) != version.export_digest:
            raise AlteredModelError(f"its files are the export {found}, its tags name {version.export_digest}")


def _problems_of(state: State, number: int, loader_module: str, *, with_files: bool) -> Iterator[str]:
    who = f"{state.name} {number}"
    if number in state.strangers:
        sealed = seals.is_sealed(state.params, number)
        what = "lost the tags it was registered with" if sealed else "was not registered by kintsugi, and is not used"
        yield f"{state.name}: version {number} {what}"
        return
    if number not in state.versions:
        yield f"{who} was deleted"
        return
    version = state.versions[number]
    try:
        seals.demand_sealed(state, version)
        if with_files:
            _demand_whole_files(version, loader_module)
    except (AlteredModelError, LedgerError, mlflow.exceptions.MlflowException, OSError) as error:
        words = str(error)
        yield words if words.startswith(who) else f"{who}: {words}"


def _demand_whole_files(version: Version, loader_module: str) -> None:
    with tempfile.TemporaryDirectory(prefix="kintsugi-verify-") as scratch:
        fetch(version.model_id, version.files, Path(scratch) / "model", loader_module)
    versions.read_score_table(version)
