"""Seals: what the ledger says of files, written once before they may be used, so that no later edit is believed.

A version's tags can be edited by whoever may edit the registered model. So the ledger holds, beside the promotions,
`e/<export>`, the digest of the files of an export's package, and `v/<version>`, which export a version is. From a
promotion's entry to the bytes on disk the chain is closed: version, export, digest of the files, files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import TypeVar

from pydantic import ValidationError

from components.section import Section, canonical_json
from components.tracking.client import MlflowClient, mlflow
from components.tracking.ledger import LedgerError, write_once
from components.tracking.packaging import FILES_TAG, AlteredModelError, Package
from components.tracking.standing import State
from components.tracking.versions import Version

_EXPORT = "e/"
_VERSION = "v/"


class UnsealedError(AlteredModelError):
    """The ledger says nothing of a version's files, so nobody knows whether they are what was made."""


class ExportSeal(Section):
    """What an export's package is."""

    files: str
    """sha256 of the canonical JSON of its files' sha256 by relative path."""
    model: str
    """Id of the stored model."""


class VersionSeal(Section):
    """What a version is."""

    export: str
    """Digest of its export."""
    lineage: str
    """sha256 of the canonical JSON of its lineage."""


_Seal = TypeVar("_Seal", ExportSeal, VersionSeal)


def seal_export(client: MlflowClient, ledger: str, export_digest: str, package: Package) -> Package:
    """Write down what the package of an export is, once; return the package that was sealed, now or before.

    Raises:
        AlteredModelError: The package sealed before is gone or is no longer what it was.
    """
    seal = ExportSeal(files=_digest(package.files), model=package.model_id)
    if write_once(client, ledger, f"{_EXPORT}{export_digest}", _text(seal)):
        return package
    kept = _parse_seal(ExportSeal, client.get_run(ledger).data.params[f"{_EXPORT}{export_digest}"], export_digest)
    try:
        files = json.loads(client.get_logged_model(kept.model).tags[FILES_TAG])
    except (mlflow.exceptions.MlflowException, KeyError) as error:
        raise AlteredModelError(f"export {export_digest}: its sealed package {kept.model} is gone") from error
    if _digest(files) != kept.files:
        raise AlteredModelError(f"export {export_digest}: its sealed package {kept.model} was altered")
    return Package(kept.model, files)


def seal_version(client: MlflowClient, ledger: str, version: Version) -> None:
    """Write down which export a version is, once.

    Raises:
        AlteredModelError: The version was sealed as something else.
    """
    seal = VersionSeal(export=version.export_digest, lineage=_digest(version.lineage))
    if not write_once(client, ledger, f"{_VERSION}{version.number}", _text(seal)):
        raise AlteredModelError(
            f"{version.name} {version.number}: its tags name another export or lineage than the ledger sealed"
        )


def is_sealed(params: Mapping[str, str], number: int) -> bool:
    """Return whether the ledger says what the version is."""
    return f"{_VERSION}{number}" in params


def export_is_sealed(params: Mapping[str, str], export_digest: str) -> bool:
    """Return whether the ledger says what the files of an export are."""
    return f"{_EXPORT}{export_digest}" in params


def demand_sealed(state: State, version: Version) -> None:
    """Refuse a version whose tags do not say what the ledger says.

    Args:
        state: Of the version's model, with all that its ledger holds.
        version: What MLflow's registry says now.

    Raises:
        UnsealedError: The ledger says nothing of it.
        AlteredModelError: The tags say something else.
    """
    who = f"{version.name} {version.number}"
    if not is_sealed(state.params, version.number):
        raise UnsealedError(
            f"{who}: the ledger says nothing of its files, as it was registered by an earlier release or only in "
            f"part; look at it, then: kintsugi verify {version.name} --adopt"
        )
    for problem in differences(state, version):
        raise AlteredModelError(f"{who}: {problem}")


def differences(state: State, version: Version) -> Iterator[str]:
    """Yield, in words, where the tags of a sealed version differ from the ledger."""
    params = state.params
    promoted = {entry.export for entry in state.history.entries if entry.version == version.number}
    for export in promoted - {version.export_digest}:
        yield f"its tags name the export {version.export_digest}, the ledger promoted {export}"
    sealed = _parse_seal(VersionSeal, params[f"{_VERSION}{version.number}"], f"version {version.number}")
    if sealed.export != version.export_digest:
        yield f"its tags name the export {version.export_digest}, the ledger sealed it as {sealed.export}"
        return
    if sealed.lineage != _digest(version.lineage):
        yield "its lineage is not the one that the ledger sealed"
    text = params.get(f"{_EXPORT}{sealed.export}")
    if text is None:
        yield f"the ledger has no seal of its export {sealed.export}"
        return
    package = _parse_seal(ExportSeal, text, sealed.export)
    if package.model != version.model_id:
        yield f"it points to the stored model {version.model_id}, the ledger sealed {package.model}"
    if package.files != _digest(version.files):
        yield "the digests of its files are not those that the ledger sealed"


def _parse_seal(kind: type[_Seal], text: str, what: str) -> _Seal:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise LedgerError(f"the ledger's seal of {what} is not readable") from error


def _text(seal: Section) -> str:
    return canonical_json(seal).decode()


def _digest(facts: Mapping[str, str]) -> str:
    return hashlib.sha256(canonical_json(facts)).hexdigest()
