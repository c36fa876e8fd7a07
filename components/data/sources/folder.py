"""The source `folder`: every file under a folder, read without trusting links or special files."""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from components.data.sources.item import (
    MAX_FILE_BYTES,
    ContentDigest,
    Listed,
    ListedSource,
    Problem,
    RawItem,
    is_junk,
    labelled,
    matches,
    printable,
    stamp_of,
)
from components.data.sources.names import in_order

# O_NONBLOCK: opening a FIFO would otherwise wait for a writer that may never come.
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class FolderSource(ListedSource):
    """All files under a folder and its subfolders: JPEG, PNG, WebP, BMP, GIF (first frame) and TIFF."""

    kind: Literal["folder"] = "folder"
    """Files under a folder."""
    path: Path
    """The folder. Links that lead out of it are refused, linked folders are not entered. What systems put beside
    people's files, such as `._a.jpg`, `.DS_Store` and `Thumbs.db`, is no part of the source."""
    patterns: tuple[str, ...] = Field(default=("*",), min_length=1)
    """File names to take, as shell patterns without regard to case; others are no part of the source."""
    labels: bool = False
    """Take the first folder that a file lies in as its class, for conditional models; files in none are refused."""
    terms: str | None = None
    """Licence of the images and whom to name, in words; none: not known."""

    fingerprint_is_of_items: ClassVar[bool] = True

    def describe(self) -> str:
        """Return the folder's name."""
        return f"folder {printable(self.path.resolve().name)}"

    def licence(self) -> str | None:
        """Return what the user said about it."""
        return self.terms

    @property
    def has_classes(self) -> bool:
        """Whether folders are taken as classes."""
        return self.labels

    def fingerprint(self) -> str:
        """Return a digest of all names and bytes; every file is read, once in a process while no file changes."""
        return _content_digest(self, self.signature())

    def signature(self) -> str:
        """Return a digest of all names, sizes and times of change; no file is opened."""
        digest = hashlib.sha256()
        for path in self._files(str(self._root())):
            facts = os.lstat(path)
            digest.update(f"{printable(path)}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
        return digest.hexdigest()[:32]

    def count(self) -> int:
        """Return the number of files, without opening them."""
        return sum(1 for _ in self._files(str(self._root())))

    def listing(self) -> Iterator[Listed]:
        """Yield every file in the order of the folders' sorted names.

        Raises:
            ValueError: The folder does not exist or is not a folder.
        """
        root = str(self._root())
        for path in self._files(root):
            yield Listed(printable(path[len(root) :].lstrip("/")), _stamp(path), path)

    def read(self, listed: Iterable[Listed]) -> Iterator[RawItem]:
        """Yield these files, reading one at a time."""
        root = self._root()
        for one in listed:
            item = _read(one.name, Path(one.place), root)
            yield labelled(item) if self.labels else item

    def _root(self) -> Path:
        root = self.path.resolve()
        if not root.is_dir():
            raise ValueError(f"source.path: {self.path} is {'not a folder' if root.exists() else 'not there'}")
        return root

    def _files(self, folder: str) -> Iterator[str]:
        """Yield a folder's files by name, then those of each folder in it; of names, those of such folders are held.

        Paths are texts: a `Path` takes longer to make than the file takes to be looked at.
        """
        folders: list[str] = []
        for name in in_order(self._names(folder, folders)):
            yield f"{folder.rstrip('/')}/{name}"
        for name in sorted(folders):
            yield from self._files(f"{folder.rstrip('/')}/{name}")

    def _names(self, folder: str, folders: list[str]) -> Iterator[str]:
        """Yield the names of a folder's files, and of links to folders, in any order; put those of its folders aside.

        Raises:
            ValueError: It cannot be listed.
        """
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if is_junk(entry.name):
                        continue
                    if _is_folder(entry):
                        folders.append(entry.name)
                    elif matches(entry.name, self.patterns):
                        yield entry.name
        except OSError as error:
            raise ValueError(f"source.path: the folder {error.filename} cannot be listed: {error.strerror}") from error


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:  # it has vanished, which reading will tell
        return False


def _stamp(path: str) -> str:
    try:
        return stamp_of(os.lstat(path))
    except OSError:  # it has vanished, which reading will tell
        return ""


def _read(name: str, path: Path, root: Path) -> RawItem:
    target = path
    if path.is_symlink():
        target = Path(os.path.realpath(path))
        if not target.is_relative_to(root):
            return RawItem(name, b"", Problem("link_outside", "a link that leads out of the folder"))
    try:
        descriptor = os.open(target, _FLAGS)
    except OSError as error:
        return RawItem(name, b"", Problem("unreadable", error.strerror or type(error).__name__))
    try:
        return _read_descriptor(name, descriptor)
    except OSError as error:
        return RawItem(name, b"", Problem("unreadable", error.strerror or type(error).__name__))
    finally:
        os.close(descriptor)


def _read_descriptor(name: str, descriptor: int) -> RawItem:
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        return RawItem(name, b"", Problem("not_regular", "a folder, pipe, socket or device, not a file"))
    if facts.st_size > MAX_FILE_BYTES:
        return RawItem(name, b"", Problem("too_large", f"a file of {facts.st_size} bytes"))
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        return RawItem(name, file.read(facts.st_size))  # Python sets aside in memory what it is told to read


@lru_cache(maxsize=4)  # a command first asks whether anything is left to do, and then does it
def _content_digest(source: FolderSource, signature: str) -> str:  # noqa: ARG001 - that of the files as they are now
    digest = ContentDigest()
    for item in source.items():
        digest.add(item)
    return digest.hexdigest()
