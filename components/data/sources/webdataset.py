"""The source `webdataset`: the images in WebDataset tars, read in place and never unpacked."""

import hashlib
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import Field

from components.artifacts import sha256_of
from components.data.sources.item import (
    MAX_FILE_BYTES,
    Listed,
    ListedSource,
    Problem,
    RawItem,
    is_junk,
    matches,
    printable,
    stamp_of,
)
from components.section import digest_of

_IMAGES = ("*.jpg", "*.jpeg", "*.png", "*.webp", "*.bmp", "*.gif", "*.tif", "*.tiff")
_CLASS = ".cls"
_CLASS_BYTES = 4096
"""No class has a longer name."""


class WebdatasetSource(ListedSource):
    """The images in WebDataset tars, such as `kintsugi generate --per-tar` and other tools write."""

    kind: Literal["webdataset"] = "webdataset"
    """Images in WebDataset tars."""
    path: Path
    """A tar that is not packed, or a folder that holds such tars, `*.tar`, taken in the order of their names."""
    patterns: tuple[str, ...] = Field(default=_IMAGES, min_length=1)
    """Names of members to take, as shell patterns without regard to case; others are no part of the source."""
    labels: bool = False
    """Take the text of the member `.cls` beside an image as its class; images without one are refused."""
    terms: str | None = None
    """Licence of the images and whom to name, in words; none: not known."""

    def describe(self) -> str:
        """Return the name of the tar or the folder."""
        return f"WebDataset tars {printable(self.path.resolve().name)}"

    def licence(self) -> str | None:
        """Return what the user said about it."""
        return self.terms

    @property
    def has_classes(self) -> bool:
        """Whether classes are taken."""
        return self.labels

    def fingerprint(self) -> str:
        """Return a digest of the tars' names and bytes, of the patterns and of whether there are classes."""
        found = [(path, path.stat()) for path in self._tars()]
        tars = [[path.name, _sha256(path, facts.st_size, facts.st_mtime_ns)] for path, facts in found]
        return digest_of([tars, self.patterns, self.labels])

    def signature(self) -> str:
        """Return a digest of the tars' names, sizes and times of change; none is opened."""
        digest = hashlib.sha256(repr((self.patterns, self.labels)).encode())
        for path in self._tars():
            facts = path.stat()
            digest.update(f"{printable(path.name)}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
        return digest.hexdigest()[:32]

    def count(self) -> int:
        """Return the number of images, by the tars' headers."""
        taken = 0
        for path in self._tars():
            with _opened(path) as archive:
                taken += sum(map(self._takes, _entries(archive)))
        return taken

    def listing(self) -> Iterator[Listed]:
        """Yield every image in the order of the tars, by the tars' headers.

        Raises:
            ValueError: There is no tar, or one cannot be read to its end.
        """
        for path in self._tars():
            stamp = stamp_of(path.stat())
            with _opened(path) as archive:
                for _, members in groupby(_entries(archive), _key):
                    sample = list(members)
                    beside = next(filter(_is_class, sample), None) if self.labels else None
                    for entry in filter(self._takes, sample):
                        name = f"{printable(path.name)}/{printable(entry.name)}"
                        yield Listed(name, stamp and f"{stamp} {entry.offset}", (path, entry, beside))

    def read(self, listed: Iterable[Listed]) -> Iterator[RawItem]:
        """Yield these images, reading one at a time.

        Raises:
            ValueError: A tar cannot be read.
        """
        for path, of_one_tar in groupby(listed, lambda one: one.place[0]):
            with _opened(path) as archive:
                for one in of_one_tar:
                    yield self._item(archive, one)

    def _item(self, archive: tarfile.TarFile, listed: Listed) -> RawItem:
        _, entry, beside = listed.place
        label = _label(archive, beside) if beside is not None else None
        content, problem = _content(archive, entry)
        if self.labels and label is None and problem is None:
            content, problem = b"", Problem("no_class", f"no {_CLASS} beside it in its sample")
        return RawItem(listed.name, content, problem, label)

    def _takes(self, entry: tarfile.TarInfo) -> bool:
        path = PurePosixPath(entry.name)
        return not entry.isdir() and matches(path.name, self.patterns) and not any(map(is_junk, path.parts))

    def _tars(self) -> list[Path]:
        if self.path.is_file():
            return [self.path]
        if not self.path.is_dir():
            raise ValueError(f"source.path: {self.path} is not there")
        found = sorted(path for path in self.path.glob("*.tar") if path.is_file() and not path.name.startswith("."))
        if not found:
            raise ValueError(f"source.path: there is no .tar in the folder {self.path}")
        return found


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path, "r:") as archive:
            yield archive
    except (OSError, tarfile.TarError) as error:
        raise ValueError(f"source.path: {path} cannot be read as a tar that is not packed: {error}") from error


def _entries(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (entry := archive.next()) is not None:
        yield entry
        archive.members = []  # type: ignore[attr-defined]  # it keeps all it has seen, which may be millions


def _is_class(entry: tarfile.TarInfo) -> bool:
    return entry.name.endswith(_CLASS) and entry.size <= _CLASS_BYTES


def _label(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> str | None:
    content, problem = _content(archive, entry)
    return None if problem else content.decode("utf-8", "backslashreplace").strip() or None


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> tuple[bytes, Problem | None]:
    """Return a member's bytes, or why they are not taken."""
    if not entry.isreg() or entry.issparse():
        return b"", Problem("not_regular", "a link, pipe, device or sparse file, not a file")
    if entry.size > MAX_FILE_BYTES:
        return b"", Problem("too_large", f"a file of {entry.size} bytes")
    stream = archive.extractfile(entry)
    return (stream.read(), None) if stream else (b"", Problem("unreadable", "no bytes"))


def _key(entry: tarfile.TarInfo) -> str:
    """Return what members of one sample share: all before the first dot of the file's name."""
    folder, _, name = entry.name.rpartition("/")
    return f"{folder}/{name.partition('.')[0]}"


@lru_cache(maxsize=10_000)  # read once in a process while it does not change
def _sha256(path: Path, size: int, changed_ns: int) -> str:  # noqa: ARG001 - those of the file as it is now
    return sha256_of(path)
