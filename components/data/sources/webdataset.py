"""The source `webdataset`: the images in WebDataset tars, local or in a bucket, read in place and never unpacked."""

import hashlib
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from components.artifacts import sha256_of
from components.artifacts.files import Listing, StorageError
from components.artifacts.places import bucket_and_prefix
from components.artifacts.ranges import as_file
from components.data.sources.entries import entries, opened
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
from components.data.sources.s3 import bucket_of
from components.section import digest_of

_IMAGES = ("*.jpg", "*.jpeg", "*.png", "*.webp", "*.bmp", "*.gif", "*.tif", "*.tiff")
_TAR, _CLASS = ".tar", ".cls"
_CLASS_BYTES = 4096
"""No class has a longer name."""
_Place = Path | Listing


class WebdatasetSource(ListedSource):
    """The images in WebDataset tars, such as `kintsugi generate --per-tar` and other tools write."""

    kind: Literal["webdataset"] = "webdataset"
    """Images in WebDataset tars."""
    path: str = Field(min_length=1)
    """A tar that is not packed, or a folder or `s3://bucket/prefix` with such tars, `*.tar`; in the order of their
    names."""
    patterns: tuple[str, ...] = Field(default=_IMAGES, min_length=1)
    """Names of members to take, as shell patterns without regard to case; others are no part of the source."""
    labels: bool = False
    """Take the text of the member `.cls` beside an image as its class; images without one are refused."""
    terms: str | None = None
    """Licence of the images and whom to name, in words; none: not known."""

    listed_at_once: ClassVar[int] = 2**16  # which opens an archive once for so many files

    @field_validator("path", mode="before")
    @classmethod
    def _in_one_way(cls, path: object) -> object:
        """Return a local path as it is written once, whoever writes it."""
        is_local = isinstance(path, Path) or (isinstance(path, str) and path and bucket_and_prefix(path) is None)
        return str(Path(str(path))) if is_local else path

    def describe(self) -> str:
        """Return the name of the tar or the folder, or the address."""
        is_shared = bucket_and_prefix(self.path) is not None
        return f"WebDataset tars {self.path if is_shared else printable(Path(self.path).resolve().name)}"

    def licence(self) -> str | None:
        """Return what the user said about it."""
        return self.terms

    @property
    def has_classes(self) -> bool:
        """Whether classes are taken."""
        return self.labels

    def fingerprint(self) -> str:
        """Return a digest of the tars' names and bytes, of an object's by its ETag, of the patterns and of classes."""
        return digest_of([[[name, _mark_of(place)] for name, place in self._tars()], self.patterns, self.labels])

    def signature(self) -> str:
        """Return a digest of the tars' names, sizes and times of change, or ETags; none is opened."""
        digest = hashlib.sha256(repr((self.patterns, self.labels)).encode())
        for name, place in self._tars():
            mark = place.etag if isinstance(place, Listing) else _size_and_time(place)
            digest.update(f"{printable(name)}\0{mark}\n".encode())
        return digest.hexdigest()[:32]

    def count(self) -> int:
        """Return the number of images, by the tars' headers."""
        taken = 0
        for name, place in self._tars():
            with self._opened(name, place) as archive:
                taken += sum(map(self._takes, entries(archive)))
        return taken

    def listing(self) -> Iterator[Listed]:
        """Yield every image in the order of the tars, by the tars' headers.

        Raises:
            ValueError: There is no tar, or one cannot be read to its end.
            StorageError: The store refuses, or was away for too long.
        """
        for tar_name, place in self._tars():
            stamp = stamp_of(place.stat()) if isinstance(place, Path) else place.etag
            with self._opened(tar_name, place) as archive:
                for _, members in groupby(entries(archive), _key):
                    sample = list(members)
                    beside = next(filter(_is_class, sample), None) if self.labels else None
                    for entry in filter(self._takes, sample):
                        name = f"{printable(tar_name)}/{printable(entry.name)}"
                        yield Listed(name, stamp and f"{stamp} {entry.offset}", (tar_name, place, entry, beside))

    def read(self, listed: Iterable[Listed]) -> Iterator[RawItem]:
        """Yield these images, reading one at a time.

        Raises:
            ValueError: A tar cannot be read.
            StorageError: One was written anew since it was listed, or the store was away for too long.
        """
        for (name, place), of_one_tar in groupby(listed, lambda one: one.place[:2]):
            with self._opened(name, place) as archive:
                for one in of_one_tar:
                    yield self._item(archive, one)

    def _item(self, archive: tarfile.TarFile, listed: Listed) -> RawItem:
        _, _, entry, beside = listed.place
        label = _label(archive, beside) if beside is not None else None
        content, problem = _content(archive, entry)
        if self.labels and label is None and problem is None:
            content, problem = b"", Problem("no_class", f"no {_CLASS} beside it in its sample")
        return RawItem(listed.name, content, problem, label)

    def _takes(self, entry: tarfile.TarInfo) -> bool:
        path = PurePosixPath(entry.name)
        return not entry.isdir() and matches(path.name, self.patterns) and not any(map(is_junk, path.parts))

    def _tars(self) -> list[tuple[str, _Place]]:
        if bucket_and_prefix(self.path) is not None:
            named: Iterator[tuple[str, _Place]] = ((one.name, one) for one in bucket_of(self.path).listing())
        elif (path := Path(self.path)).is_file():
            return [(path.name, path)]
        elif path.is_dir():
            named = ((one.name, one) for one in sorted(path.iterdir()) if one.is_file())
        else:
            raise ValueError(f"source.path: {self.path} is not there")
        found = [(name, place) for name, place in named if name.endswith(_TAR) and not _is_hidden(name)]
        if not found:
            where = "the folder " if bucket_and_prefix(self.path) is None else ""
            raise ValueError(f"source.path: there is no .tar in {where}{self.path}")
        return found

    @contextmanager
    def _opened(self, name: str, place: _Place) -> Iterator[tarfile.TarFile]:
        try:
            with (
                place.open("rb") if isinstance(place, Path) else as_file(bucket_of(self.path), place) as file,
                opened(file) as archive,
            ):
                yield archive
        except StorageError:
            raise
        except (OSError, tarfile.TarError) as error:
            where = place if isinstance(place, Path) else f"{self.path}/{printable(name)}"
            raise ValueError(f"source.path: {where} cannot be read as a tar that is not packed: {error}") from error


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


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _mark_of(place: _Place) -> str:
    """Return what changes with a tar's bytes."""
    if isinstance(place, Listing):
        return place.etag
    facts = place.stat()
    return _sha256(place, facts.st_size, facts.st_mtime_ns)


def _size_and_time(path: Path) -> str:
    facts = path.stat()
    return f"{facts.st_size}\0{facts.st_mtime_ns}"


@lru_cache(maxsize=10_000)  # read once in a process while it does not change
def _sha256(path: Path, size: int, changed_ns: int) -> str:  # noqa: ARG001 - those of the file as it is now
    return sha256_of(path)
