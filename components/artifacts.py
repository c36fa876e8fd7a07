"""Artifact: a finished directory named by what determined it. Store: where they are kept, reused or written once.

An artifact is written as a draft beside its final place and renamed when whole, so a killed writer leaves nothing
that looks finished. That is the pipeline's only cache. In a shared store the files go first, under names that hold
their sha256, and the manifest last: it is what makes the artifact exist.
"""

import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import Field

from components.section import Section, canonical_json, digest_of
from components.storage import FolderStorage, Storage, open_storage
from components.storage.files import (
    DRAFT,
    checked_key,
    draft_of,
    sha256_of,
    sync_file,
    sync_folder,
    write_atomically,
)
from components.storage.records import Records
from components.workspace import require_free

__all__ = [
    "MANIFEST",
    "Artifact",
    "ArtifactError",
    "SharedStore",
    "Store",
    "read_manifest",
    "sha256_of",
    "sync_folder",
    "write_atomically",
]

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

    @classmethod
    def open(cls, place: str | Path, cache: Path) -> "Store":
        """Return the store at a folder or an s3:// prefix.

        Args:
            place: Folder, or s3://bucket/prefix, which is shared by all who name it.
            cache: Local folder that holds what is used of an s3:// store; not used for a folder.
        """
        if str(place).startswith("s3://"):
            return SharedStore(open_storage(place), cache)
        return Store(Path(place))

    def records(self, name: str) -> Records:
        """Return the store's growing list of records called `name`, a relative path such as "data/cifar10"."""
        return Records(FolderStorage(self.root), f"records/{checked_key(name)}")

    def path_of(self, kind: type[Artifact], inputs: Mapping[str, Any]) -> Path:
        """Return where the artifact that `inputs` determine lies or would lie."""
        return self.root / kind.folder() / digest_of([kind.__name__, dict(inputs)])

    def find(self, kind: type[Kind], inputs: Mapping[str, Any]) -> Kind | None:
        """Return the finished artifact that `inputs` determine, or None."""
        return self.by_digest(kind, self.path_of(kind, inputs).name)

    def by_digest(self, kind: type[Kind], digest: str) -> Kind | None:
        """Return the finished artifact of this digest, which a record or another artifact names, or None."""
        path = self.root / kind.folder() / checked_key(digest)
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
        draft = draft_of(path)
        draft.mkdir(parents=True)
        try:
            fields = kind(path=path, digest=path.name, **write(draft)).model_dump(mode="json", exclude={"digest"})
            _write_manifest(draft, kind.__name__, path.name, inputs, fields)
            _publish(draft, path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return kind.read(path)

    def remove_drafts(self, older_than_s: float = 86_400) -> int:
        """Delete what killed writers left behind, if untouched for so long; return how many drafts were deleted."""
        limit, deleted = time.time() - older_than_s, 0
        for draft in self.root.glob(f"*/.*{DRAFT}"):
            with suppress(FileNotFoundError):  # its writer has just finished
                if max(path.stat().st_mtime for path in (draft, *draft.rglob("*"))) < limit:
                    shutil.rmtree(draft)
                    deleted += 1
        return deleted


class SharedStore(Store):
    """Artifacts in a storage that others read and write too, each used through a local copy.

    An artifact's files lie at KIND/DIGEST/SHA256/NAME and its manifest at KIND/DIGEST/manifest.json. Files are never
    overwritten by others, and the manifest is put where none is yet, so of two writers one is first and both hold
    the same artifact in the end.
    """

    def __init__(self, remote: Storage, root: Path) -> None:
        super().__init__(root)
        self.remote = remote

    def records(self, name: str) -> Records:
        """Return the shared store's growing list of records called `name`."""
        return Records(self.remote, f"records/{checked_key(name)}")

    def by_digest(self, kind: type[Kind], digest: str) -> Kind | None:
        """Return the finished artifact of this digest, fetching and checking it if need be, or None."""
        path = self.root / kind.folder() / checked_key(digest)
        if not (path / MANIFEST).is_file() and self.remote.exists(self._key(path, MANIFEST)):
            self._fetch(path)
        return super().by_digest(kind, digest)

    def materialise(
        self, kind: type[Kind], inputs: Mapping[str, Any], write: Callable[[Path], Mapping[str, Any]]
    ) -> Kind:
        """Return the artifact that `inputs` determine, and see that the shared store has it.

        Raises:
            StorageError: The store cannot be reached. What was written is kept: the next call only sends it.
        """
        artifact = super().materialise(kind, inputs, write)
        self._share(artifact.path)
        return kind.read(artifact.path)

    def _key(self, path: Path, name: str) -> str:
        return f"{path.relative_to(self.root).as_posix()}/{name}"

    def _share(self, path: Path) -> None:
        key, content = self._key(path, MANIFEST), (path / MANIFEST).read_bytes()
        if not self.remote.exists(key):
            for name, facts in read_manifest(path)["files"].items():
                self.remote.upload_file(path / name, self._key(path, f"{facts['sha256']}/{name}"))
            if self.remote.put_if_absent(key, content):
                return
        if self.remote.read_bytes(key) != content:
            logging.getLogger(__name__).warning(
                "%s: another machine made this artifact first, with other bytes; theirs is used", path.name
            )
            self._fetch(path, replace=True)

    def _fetch(self, path: Path, *, replace: bool = False) -> None:
        draft, old = draft_of(path), draft_of(path)
        draft.mkdir(parents=True)
        try:
            write_atomically(draft / MANIFEST, self.remote.read_bytes(self._key(path, MANIFEST)))
            manifest = read_manifest(draft)
            if manifest["digest"] != path.name:
                raise ArtifactError(f"{self.remote.url}: {path.name} holds the manifest of {manifest['digest']}")
            files: dict[str, dict[str, Any]] = manifest["files"]
            require_free(draft, sum(facts["bytes"] for facts in files.values()), f"to fetch {path.name}")
            for name, facts in files.items():
                target = draft / checked_key(name)
                target.parent.mkdir(parents=True, exist_ok=True)
                self.remote.download_file(self._key(path, f"{facts['sha256']}/{name}"), target, facts["sha256"])
            if replace:
                path.rename(old)
            _publish(draft, path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


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


def _write_manifest(draft: Path, kind: str, digest: str, inputs: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    files = {}
    for file in sorted(p for p in draft.rglob("*") if p.is_file()):
        sync_file(file)
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
    for folder in (*(item for item in draft.rglob("*") if item.is_dir()), draft):
        sync_folder(folder)
    try:
        draft.rename(path)
    except OSError as error:
        if not (path / MANIFEST).is_file():
            raise ArtifactError(f"{path}: in the way, and not a finished artifact; delete it") from error
    sync_folder(path.parent)
