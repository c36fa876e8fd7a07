"""Artifact: a finished directory with a manifest, named by the digest of what determined it."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field

from components.artifacts.files import sha256_of, sync_file, sync_folder, write_atomically
from components.section import Section, canonical_json

MANIFEST = "manifest.json"
_SCHEMA = 1
_DIGEST = re.compile(r"(?<![0-9a-f])[0-9a-f]{20}(?![0-9a-f])")
_PARTS = {"schema", "kind", "digest", "inputs", "fields", "files", "holders", "seal"}


class ArtifactError(RuntimeError):
    """An artifact is missing, incomplete or not what its manifest says."""


class Artifact(Section):
    """A finished directory. Subclasses add what the next stage must know without opening its files."""

    ON_DEMAND: ClassVar[str] = ""
    """What the names of files end in that may stay in a shared store until they are needed; nothing: all come along."""

    path: Path = Field(exclude=True)
    digest: str

    @classmethod
    def folder(cls) -> str:
        """Return the name of the folder that holds artifacts of this kind."""
        return cls.__name__.lower()

    @property
    def holders(self) -> tuple[str, ...]:
        """Digests of the artifacts of this kind in whose folders lie files that this one needs, too."""
        return ()

    @classmethod
    def needs(cls, manifest: Mapping[str, Any]) -> frozenset[str]:
        """Return the digests of what an artifact of this kind cannot do without; others among them do no harm.

        That is all that its inputs and fields name. A kind that can do without some of it says so in its own answer.
        """
        return digests_in([manifest["inputs"], manifest["fields"]])

    @classmethod
    def belongs_to(cls, manifest: Mapping[str, Any]) -> frozenset[str]:  # noqa: ARG003 - kinds that answer look at it
        """Return the digests of what an artifact of this kind tells of: it is kept as long as any of it is in use."""
        return frozenset()

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


def digests_in(value: object) -> frozenset[str]:
    """Return all that looks like a digest in the texts of a JSON value."""
    return frozenset(_DIGEST.findall(json.dumps(value)))


def kinds() -> dict[str, type[Artifact]]:
    """Return the kinds of artifacts that this process has imported, by the folders that hold them."""
    found, left = {}, Artifact.__subclasses__()
    while left:
        kind = left.pop()
        found[kind.folder()] = kind
        left += kind.__subclasses__()
    return found


def read_manifest(path: Path) -> dict[str, Any]:
    """Return the manifest of the artifact at `path`.

    Raises:
        ArtifactError: It is missing, not JSON, or of another schema.
    """
    try:
        content = (path / MANIFEST).read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path / MANIFEST}: not a readable manifest ({error})") from error
    return parse_manifest(content, str(path / MANIFEST))


def parse_manifest(content: bytes, name: str) -> dict[str, Any]:
    """Return the manifest in the bytes of the file `name`.

    Raises:
        ArtifactError: It is not JSON, or of another schema.
    """
    try:
        manifest: dict[str, Any] = json.loads(content)
    except ValueError as error:
        raise ArtifactError(f"{name}: not a readable manifest ({error})") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != _SCHEMA:
        found = manifest.get("schema") if isinstance(manifest, dict) else None
        raise ArtifactError(f"{name}: schema {found!r}, this code reads {_SCHEMA}")
    # Manifests of before there were seals have none, so a damaged name must not pass for the lack of one.
    if strange := manifest.keys() - _PARTS:
        raise ArtifactError(f"{name}: {min(strange)!r} is no part of a manifest; it was altered")
    if missing := _PARTS - {"holders", "seal"} - manifest.keys():
        raise ArtifactError(f"{name}: it has no {min(missing)!r}; it was altered")
    if manifest.get("seal", seal := _seal_of(manifest)) != seal:
        raise ArtifactError(f"{name}: it was altered: it does not fit the seal in it")
    return manifest


def write_manifest(draft: Path, artifact: Artifact, inputs: Mapping[str, Any]) -> None:
    """Write the artifact's manifest of all files in `draft`, which become durable before it."""
    files = {}
    for file in sorted(p for p in draft.rglob("*") if p.is_file()):
        sync_file(file)
        files[str(file.relative_to(draft))] = {"sha256": sha256_of(file), "bytes": file.stat().st_size}
    manifest = {
        "schema": _SCHEMA,
        "kind": type(artifact).__name__,
        "digest": artifact.digest,
        "inputs": json.loads(canonical_json(dict(inputs))),
        "fields": artifact.model_dump(mode="json", exclude={"digest"}),
        "files": files,
        **({"holders": artifact.holders} if artifact.holders else {}),
    }
    manifest["seal"] = _seal_of(json.loads(json.dumps(manifest)))
    write_atomically(draft / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True).encode())


def publish(draft: Path, path: Path) -> None:
    """Rename the draft into place; when another writer of the same digest was first, keep theirs."""
    for folder in (*(item for item in draft.rglob("*") if item.is_dir()), draft):
        sync_folder(folder)
    try:
        draft.rename(path)
    except OSError as error:
        if not (path / MANIFEST).is_file():
            raise ArtifactError(f"{path}: in the way, and not a finished artifact; delete it") from error
    sync_folder(path.parent)


def _seal_of(manifest: Mapping[str, Any]) -> str:
    """Return the sha256 of all that a manifest says beside its seal: files have theirs in it, but it has none outside.

    Numbers that are not finite are among what it may say, which canonical JSON refuses.
    """
    rest = {part: value for part, value in manifest.items() if part != "seal"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
