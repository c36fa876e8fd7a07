"""Artifact: a finished directory named by what determined it. Store: where they are kept, reused or written once.

An artifact is written as a draft beside its final place and renamed when whole, so a killed writer leaves nothing
that looks finished. That is the pipeline's only cache.
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import Field

from components.section import Section, canonical_json, digest_of

MANIFEST = "manifest.json"
_SCHEMA = 1


class ArtifactError(RuntimeError):
    """An artifact is missing, incomplete or not what its manifest says."""


class Artifact(Section):
    """A finished directory. Subclasses add what the next stage must know without opening its files."""

    path: Path = Field(exclude=True)
    digest: str

    @classmethod
    def folder(cls) -> str:
        """Return the name of the folder that holds artifacts of this kind."""
        return cls.__name__.lower()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the artifact that lies at `path`.

        Raises:
            ArtifactError: There is no readable manifest of this kind.
        """
        manifest = read_manifest(path)
        if manifest["kind"] != cls.__name__:
            raise ArtifactError(f"{path}: expected a {cls.__name__}, found a {manifest['kind']}")
        return cls(path=path, digest=manifest["digest"], **manifest["fields"])

    def verify(self) -> None:
        """Recompute every file's sha256.

        Raises:
            ArtifactError: A file is missing, added or altered; the message names the first such file.
        """
        files: dict[str, dict[str, Any]] = read_manifest(self.path)["files"]
        found = {str(p.relative_to(self.path)) for p in self.path.rglob("*") if p.is_file()} - {MANIFEST}
        for name in sorted(found ^ set(files)):
            raise ArtifactError(f"{self.path / name}: {'not in the manifest' if name in found else 'missing'}")
        for name, facts in files.items():
            if sha256_of(self.path / name) != facts["sha256"]:
                raise ArtifactError(f"{self.path / name}: its sha256 is not the one in the manifest")


Kind = TypeVar("Kind", bound=Artifact)


class Store:
    """A folder of artifacts, `ROOT/KIND/DIGEST/`. It may be moved as a whole: nothing in it names its place."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path_of(self, kind: type[Artifact], inputs: Mapping[str, Any]) -> Path:
        """Return where the artifact that `inputs` determine lies or would lie."""
        return self.root / kind.folder() / digest_of([kind.__name__, dict(inputs)])

    def find(self, kind: type[Kind], inputs: Mapping[str, Any]) -> Kind | None:
        """Return the finished artifact that `inputs` determine, or None."""
        path = self.path_of(kind, inputs)
        return kind.read(path) if (path / MANIFEST).is_file() else None

    def materialise(
        self, kind: type[Kind], inputs: Mapping[str, Any], write: Callable[[Path], Mapping[str, Any]]
    ) -> Kind:
        """Return the artifact that `inputs` determine, calling `write` only if the store lacks it.

        Args:
            kind: The class of the artifact.
            inputs: All that determines the content: config sections, digests of earlier artifacts, a code version.
            write: Fills the empty folder it is given and returns the values of the kind's own fields.
        """
        if (finished := self.find(kind, inputs)) is not None:
            return finished
        path = self.path_of(kind, inputs)
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
        draft.mkdir(parents=True)
        try:
            fields = kind(path=path, digest=path.name, **write(draft)).model_dump(mode="json", exclude={"digest"})
            _write_manifest(draft, kind.__name__, path.name, inputs, fields)
            _publish(draft, path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return kind.read(path)


def read_manifest(path: Path) -> dict[str, Any]:
    """Return the manifest of the artifact at `path`.

    Raises:
        ArtifactError: It is missing, not JSON, or of another schema.
    """
    try:
        manifest: dict[str, Any] = json.loads((path / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path / MANIFEST}: not a readable manifest ({error})") from error
    if manifest.get("schema") != _SCHEMA:
        raise ArtifactError(f"{path / MANIFEST}: schema {manifest.get('schema')!r}, this code reads {_SCHEMA}")
    return manifest


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new one, never a part, even after a power cut."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_manifest(draft: Path, kind: str, digest: str, inputs: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    files = {}
    for file in sorted(p for p in draft.rglob("*") if p.is_file()):
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
        files[str(file.relative_to(draft))] = {"sha256": sha256_of(file), "bytes": file.stat().st_size}
    manifest = {
        "schema": _SCHEMA,
        "kind": kind,
        "digest": digest,
        "inputs": json.loads(canonical_json(dict(inputs))),
        "fields": fields,
        "files": files,
    }
    write_atomically(draft / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True).encode())


def _publish(draft: Path, path: Path) -> None:
    """Rename the draft into place; when another writer of the same digest was first, keep theirs."""
    sync_folder(draft)
    try:
        draft.rename(path)
    except OSError:
        if not (path / MANIFEST).is_file():
            raise
    sync_folder(path.parent)
