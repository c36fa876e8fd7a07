"""Streaming: artifacts of a shared store without their large files, which are fetched when they are needed."""

from functools import cached_property
from pathlib import Path
from typing import Self

from components.artifacts.artifact import MANIFEST, Artifact, ArtifactError, publish, read_manifest
from components.artifacts.copying import copied, key_of
from components.artifacts.files import checked_key, write_atomically
from components.artifacts.held import HeldFile, HeldFiles
from components.artifacts.storage import Storage, open_storage
from components.artifacts.store import STREAMED, Kind, SharedStore, Store
from components.launch.outcome import stopping_when_full
from components.section import Section

_ORIGIN = "origin.json"
HELD = "held"
"""Folder, beside `STREAMED`, of the large files: by their sha256, so that artifacts share them."""


class Origin(Section):
    """Where the files of an artifact are that is here in part: `origin.json` in its folder."""

    place: str
    """Address of the store."""
    folder: str
    """Its folder for artifacts of this kind."""
    suffix: str
    """What the names of these files end in."""
    limit: int
    """Most bytes of such files that this machine holds."""


class StreamingStore(SharedStore):
    """A shared store from which artifacts come without the files that their kind names as `ON_DEMAND`.

    What this machine has whole it uses; what it makes is whole.
    """

    def __init__(self, remote: Storage, root: Path, limit: int) -> None:
        super().__init__(remote, root)
        self._limit = limit

    @property
    def whole(self) -> Store:
        """The same store, from which artifacts come with all their files."""
        return SharedStore(self.remote, self.root)

    def by_digest(self, kind: type[Kind], digest: str) -> Kind | None:
        """Return the finished artifact of this digest, or None.

        Raises:
            ArtifactError: The shared store lacks a holder.
        """
        whole = self.root / kind.folder() / checked_key(digest)
        if not kind.ON_DEMAND or (whole / MANIFEST).is_file():
            return super().by_digest(kind, digest)
        if not self._keeps(whole):
            return None
        path = self.root / STREAMED / digest
        if not (path / MANIFEST).is_file():
            with (
                stopping_when_full(self.root),
                copied(self.remote, self._key(whole), path, f"*{kind.ON_DEMAND}") as draft,
            ):
                publish(draft, path)
        for holder in read_manifest(path).get("holders", ()):
            if not self._keeps(whole.with_name(checked_key(holder))):
                raise ArtifactError(f"{self.place}: {digest} needs files of {holder}, which is not there")
        origin = Origin(place=self.place, folder=kind.folder(), suffix=kind.ON_DEMAND, limit=self._limit)
        write_atomically(path / _ORIGIN, origin.model_dump_json().encode())
        return kind.read(path)

    def _keeps(self, path: Path) -> bool:
        """Return whether the shared store has an artifact, which no collector deletes from now on."""
        if not self._is_shared(path):
            return False
        self._want(path, self.remote)
        return self._is_shared(path)


class AbsentFiles:
    """The files of an artifact that are not here. For threads, not for forked processes."""

    def __init__(self, path: Path, origin: Origin) -> None:
        self._digest, self._origin = path.name, origin
        self._held = HeldFiles(path.parents[1] / HELD, origin.suffix, origin.limit)

    @classmethod
    def of(cls, artifact: Artifact) -> Self | None:
        """Return those of an artifact; None if all of it is here."""
        try:
            content = (artifact.path / _ORIGIN).read_bytes()
        except FileNotFoundError:
            return None
        return cls(artifact.path, Origin.model_validate_json(content))

    def hold(self, name: str, sha256: str, size: int, holder: str | None = None) -> HeldFile | None:
        """Return a file, fetched unless it is here; None if all that may be here is being held.

        Args:
            name: Its name within the artifact.
            sha256: Of its bytes.
            size: How many they are.
            holder: Digest of the artifact that it lies in; None: this one.

        Raises:
            StorageError: The store is away for too long, refuses, or gives other bytes.
            FileNotFoundError: The store lacks it.
        """
        key = self._key(name, sha256, holder)
        return self._held.hold(sha256, size, lambda path: self._storage.download_file(key, path, sha256))

    def read(self, name: str, sha256: str, start: int, end: int, holder: str | None = None) -> bytes:
        """Return bytes of a file as the store has them, of which nothing is kept here. Raises as `hold` does."""
        return self._storage.read_bytes(self._key(name, sha256, holder), start, end)

    def _key(self, name: str, sha256: str, holder: str | None) -> str:
        return key_of(f"{self._origin.folder}/{holder or self._digest}", name, sha256)

    @cached_property
    def _storage(self) -> Storage:
        return open_storage(self._origin.place)
