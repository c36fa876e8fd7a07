"""Pages in an artifact store: which there are, and their files, checked against the manifest whenever they are read."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from components.artifacts import MANIFEST, ArtifactError, SharedStore, Store, read_manifest, write_atomically
from components.artifacts.storage import FolderStorage, Storage
from components.stages.outcome import Page

_MOST_BYTES = 64 << 20


def pages_of(store: Store) -> Iterator[str]:
    """Yield the digests of the pages in a store, be it a folder or shared.

    Raises:
        OSError: The store cannot be reached.
    """
    if not isinstance(store, SharedStore) and not store.root.is_dir():
        raise FileNotFoundError(f"{store.root}: there is no such folder")
    return store.digests(Page.folder())


class PageFiles:
    """The files of pages. Those of a shared store are copied once, and then read without it."""

    def __init__(self, store: Store, cache: Path) -> None:
        """Prepare to read.

        Args:
            store: Where the pages are.
            cache: Folder for copies from a shared store.
        """
        self.store = store
        self._remote = isinstance(store, SharedStore)
        self._storage: Storage = store.remote if isinstance(store, SharedStore) else FolderStorage(store.root)
        self._folder = cache if self._remote else store.root / Page.folder()

    def page(self, digest: str) -> Page:
        """Return the page of this digest.

        Raises:
            ArtifactError: Its manifest is not readable, or another artifact's.
            OSError: The store cannot be reached.
        """
        place = self._folder / digest
        if self._remote and not (place / MANIFEST).is_file():
            content = self._storage.read_bytes(f"{Page.folder()}/{digest}/{MANIFEST}", 0, _MOST_BYTES)
            place.mkdir(parents=True, exist_ok=True)
            write_atomically(place / MANIFEST, content)
        try:
            page = Page.read(place)
        except (AttributeError, LookupError, TypeError, ValidationError) as error:
            raise ArtifactError(f"page {digest}: its manifest is not one of a page") from error
        if page.digest != digest:
            raise ArtifactError(f"page {digest}: it holds the manifest of {page.digest}")
        return page

    def read(self, digest: str, name: str) -> bytes:
        """Return a file's bytes, whose sha256 is the one in the manifest.

        Raises:
            ArtifactError: They are others, too many, or the manifest does not name the file.
            OSError: The store cannot be reached.
        """
        facts = read_manifest(self.page(digest).path)["files"].get(name)
        if facts is None:
            raise ArtifactError(f"page {digest}: its manifest names no {name}")
        copy, expected = self._folder / digest / name, str(facts["sha256"])
        if self._remote and copy.is_file() and _sha256(content := copy.read_bytes()) == expected:
            return content
        key = f"{digest}/{expected}/{name}" if self._remote else f"{digest}/{name}"
        content = self._storage.read_bytes(f"{Page.folder()}/{key}", 0, _MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ArtifactError(f"page {digest}: its {name} has more than {_MOST_BYTES} bytes")
        if _sha256(content) != expected:
            raise ArtifactError(f"page {digest}: the sha256 of its {name} is not the one in the manifest")
        if self._remote:
            write_atomically(copy, content)
        return content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
