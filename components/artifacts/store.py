"""Store: where artifacts are kept, reused or written once: a folder, or an s3:// prefix that others share.

An artifact is written as a draft beside its final place and renamed when whole, so a killed writer leaves nothing
that looks finished. That is the pipeline's only cache. In a shared store the files go first, under names that hold
their sha256, and the manifest last: it is what makes the artifact exist.
"""

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from components.artifacts.artifact import (
    MANIFEST,
    Artifact,
    ArtifactError,
    parse_manifest,
    publish,
    read_manifest,
    write_manifest,
)
from components.artifacts.copying import copied
from components.artifacts.files import checked_key, draft_of, remove_folder, unsent_of
from components.artifacts.records import Records, lists_in
from components.artifacts.storage import FolderStorage, Storage, open_storage
from components.artifacts.trash import Trash
from components.launch.outcome import stopping_when_full
from components.section import digest_of

STREAMED = "streamed"
"""Folder, of a local copy, of artifacts that lack files which are fetched when they are needed."""
_DEPTH = 3
"""KIND/DIGEST/manifest.json"""

Kind = TypeVar("Kind", bound=Artifact)


class Store:
    """A folder of artifacts, `ROOT/KIND/DIGEST/`. It may be moved as a whole: nothing in it names its place."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def open(cls, place: str | Path, cache: Path, limit: int | None = None) -> "Store":
        """Return the store at a folder or an s3:// prefix.

        Args:
            place: Folder, or s3://bucket/prefix, which is shared by all who name it.
            cache: Local folder that holds what is used of an s3:// store; not used for a folder.
            limit: Most bytes held there of files that need not all be here at once; None brings artifacts whole.

        Raises:
            ValueError: The address is neither.
        """
        from components.artifacts.streaming import StreamingStore  # here, for it is a store itself

        storage = open_storage(place)
        if isinstance(storage, FolderStorage):
            return Store(storage.root)
        return SharedStore(storage, cache) if limit is None else StreamingStore(storage, cache, limit)

    @property
    def whole(self) -> "Store":
        """The same store, from which artifacts come with all their files."""
        return self

    @property
    def storage(self) -> Storage:
        """What keeps artifacts, records and marks."""
        return FolderStorage(self.root)

    @property
    def place(self) -> str:
        """Where the store is, in words."""
        return self.storage.url

    def digests(self, folder: str) -> Iterator[str]:
        """Yield the digests of the finished artifacts in `folder`, such as "page", in order."""
        yield from sorted(path.parent.name for path in (self.root / folder).glob(f"*/{MANIFEST}"))

    def folders(self) -> list[str]:
        """Return the names of the folders that hold finished artifacts, in order."""
        return sorted({path.parent.parent.name for path in self.root.glob(f"*/*/{MANIFEST}")})

    def manifest(self, folder: str, digest: str) -> dict[str, Any]:
        """Return the manifest of an artifact where the store keeps it.

        Raises:
            ArtifactError: It is missing or not readable.
        """
        return read_manifest(self.root / folder / digest)

    def all(self, kind: type[Kind]) -> Iterator[Kind]:
        """Yield the finished artifacts of a kind, from their manifests; their files may not be here before `get`."""
        for digest in self.digests(kind.folder()):
            manifest = self.manifest(kind.folder(), digest)
            yield kind(path=self.root / kind.folder() / digest, digest=digest, **manifest["fields"])

    def get(self, kind: type[Kind], digest: str) -> Kind:
        """Return a finished artifact by its digest, its files on this machine.

        Raises:
            ArtifactError: The store has none.
        """
        if (finished := self.by_digest(kind, digest)) is None:
            raise ArtifactError(f"{self.place}: there is no finished {kind.__name__} {digest}")
        return finished

    def records(self, name: str) -> Records:
        """Return the store's growing list of records called `name`, a relative path such as "data/cifar10"."""
        return Records(self.storage, f"records/{checked_key(name)}")

    def lists(self, folder: str) -> list[str]:
        """Return the names of the lists of records in a folder, such as "cifar10" in "data", in order."""
        return lists_in(self.storage, f"records/{checked_key(folder)}")

    @staticmethod
    def digest(kind: type[Artifact], inputs: Mapping[str, Any]) -> str:
        """Return the name of the artifact that `inputs` determine."""
        return digest_of([kind.__name__, dict(inputs)])

    def path_of(self, kind: type[Artifact], inputs: Mapping[str, Any]) -> Path:
        """Return where the artifact that `inputs` determine lies or would lie."""
        return self.root / kind.folder() / self.digest(kind, inputs)

    def find(self, kind: type[Kind], inputs: Mapping[str, Any]) -> Kind | None:
        """Return the finished artifact that `inputs` determine, or None."""
        return self.by_digest(kind, self.path_of(kind, inputs).name)

    def by_digest(self, kind: type[Kind], digest: str) -> Kind | None:
        """Return the finished artifact of this digest, which no collector deletes from now on, or None."""
        self._want(path := self.root / kind.folder() / checked_key(digest), FolderStorage(self.root))
        return kind.read(path) if (path / MANIFEST).is_file() else None

    def materialise(
        self, kind: type[Kind], inputs: Mapping[str, Any], write: Callable[[Path], Mapping[str, Any]]
    ) -> Kind:
        """Return the artifact that `inputs` determine, calling `write` only if the store lacks it.

        Args:
            kind: The class of the artifact.
            inputs: All that determines the content: config sections, digests of earlier artifacts, a code version.
            write: Fills the empty folder it is given and returns the values of the kind's own fields.

        Raises:
            Stopped: The disk is full; nothing half written is left.
        """
        if (finished := self.find(kind, inputs)) is not None:
            return finished
        path = self.path_of(kind, inputs)
        draft = draft_of(path)
        try:
            with stopping_when_full(self.root):
                draft.mkdir(parents=True)
                write_manifest(draft, kind(path=path, digest=path.name, **write(draft)), inputs)
                publish(draft, path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return kind.read(path)

    def discard(self, artifact: str) -> None:
        """Delete KIND/DIGEST, so that a kill on the way leaves nothing that looks finished."""
        remove_folder(self.root / artifact)

    def _want(self, path: Path, storage: Storage) -> None:
        Trash(storage).keep(name := self._key(path), partial(self.discard, name))

    def _key(self, path: Path, *below: str) -> str:
        return "/".join([path.relative_to(self.root).as_posix(), *below])

    def remove_drafts(self, older_than_s: float = 86_400) -> int:
        """Delete what killed writers left behind, if untouched for so long; return how many drafts were deleted."""
        return FolderStorage(self.root).remove_unfinished(time.time() - older_than_s)


class SharedStore(Store):
    """Artifacts in a storage that others read and write too, each used through a local copy.

    An artifact's files lie at KIND/DIGEST/SHA256/NAME and its manifest at KIND/DIGEST/manifest.json. Files are never
    overwritten by others, and the manifest is put where none is yet, so of two writers one is first and both hold
    the same artifact in the end.
    """

    def __init__(self, remote: Storage, root: Path) -> None:
        super().__init__(root)
        self.remote = remote

    @property
    def storage(self) -> Storage:
        """What keeps artifacts, records and marks for all."""
        return self.remote

    def digests(self, folder: str) -> Iterator[str]:
        """Yield the digests of the finished artifacts in `folder` of the shared store, in order."""
        for key in self.remote.list(f"{folder}/"):
            digest, _, name = key.removeprefix(f"{folder}/").partition("/")
            if name == MANIFEST:
                yield digest

    def folders(self) -> list[str]:
        """Return the names of the shared store's folders that hold finished artifacts, in order."""
        parts = (key.split("/") for key in self.remote.list())
        return sorted({part[0] for part in parts if len(part) == _DEPTH and part[-1] == MANIFEST})

    def manifest(self, folder: str, digest: str) -> dict[str, Any]:
        """Return the manifest of an artifact, as the shared store has it.

        Raises:
            ArtifactError: It is missing, not readable, or another artifact's.
        """
        key = f"{folder}/{digest}/{MANIFEST}"
        try:
            manifest = parse_manifest(self.remote.read_bytes(key), f"{self.place}/{key}")
        except FileNotFoundError as error:
            raise ArtifactError(str(error)) from error
        if manifest["digest"] != digest:
            raise ArtifactError(f"{self.place}: {digest} holds the manifest of {manifest['digest']}")
        return manifest

    def by_digest(self, kind: type[Kind], digest: str) -> Kind | None:
        """Return the finished artifact of this digest, or None; it and its holders are fetched and checked if need be.

        Raises:
            ArtifactError: The shared store lacks a holder.
        """
        path = self.root / kind.folder() / checked_key(digest)
        if not self._bring(path):
            return None
        for holder in read_manifest(path).get("holders", ()):
            if not self._bring(path.with_name(checked_key(holder))):
                raise ArtifactError(f"{self.place}: {path.name} needs files of {holder}, which is not there")
        return super().by_digest(kind, digest)

    def materialise(
        self, kind: type[Kind], inputs: Mapping[str, Any], write: Callable[[Path], Mapping[str, Any]]
    ) -> Kind:
        """Return the artifact that `inputs` determine, and see that the shared store has it.

        Raises:
            StorageError: The store cannot be reached. What was written is kept; the next call or `find` sends it.
        """
        path = self.path_of(kind, inputs)
        if not (path / MANIFEST).is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            unsent_of(path).touch()
        self._share(super().materialise(kind, inputs, write).path)
        return kind.read(path)

    def discard(self, artifact: str) -> None:
        """Delete KIND/DIGEST, its manifest first, from the shared store and from this machine."""
        for key in [f"{artifact}/{MANIFEST}", *self.remote.list(f"{artifact}/")]:
            self.remote.delete(key)
        super().discard(f"{STREAMED}/{artifact.rpartition('/')[2]}")
        super().discard(artifact)

    def _is_shared(self, path: Path) -> bool:
        return self.remote.exists(self._key(path, MANIFEST))

    def _bring(self, path: Path) -> bool:
        """See that an artifact is both here and in the shared store; return whether there is one."""
        if (path / MANIFEST).is_file():
            if unsent_of(path).exists():
                self._share(path)
            return True
        if self._is_shared(path):
            self._want(path, self.remote)
            if self._is_shared(path):  # still, now that no collector deletes it
                self._fetch(path)
        return (path / MANIFEST).is_file()

    def _share(self, path: Path) -> None:
        key, content = self._key(path, MANIFEST), (path / MANIFEST).read_bytes()
        written = False
        self._want(path, self.remote)
        if not self._is_shared(path):
            for name, facts in read_manifest(path)["files"].items():
                self.remote.upload_file(path / name, self._key(path, f"{facts['sha256']}/{name}"))
            written = self.remote.put_if_absent(key, content)
        if not written and self.remote.read_bytes(key) != content:
            logging.getLogger(__name__).warning(
                "%s: another machine made this artifact first, with other bytes; theirs is used", path.name
            )
            self._fetch(path, replace=True)
        unsent_of(path).unlink(missing_ok=True)

    def _fetch(self, path: Path, *, replace: bool = False) -> None:
        old = draft_of(path)
        try:
            with stopping_when_full(self.root), copied(self.remote, self._key(path), path) as draft:
                if replace:
                    path.rename(old)
                publish(draft, path)
        finally:
            shutil.rmtree(old, ignore_errors=True)
