"""The source `zip`: the files inside one zip archive, read in place and never unpacked."""

import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from os.path import commonprefix
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

from pydantic import Field

from components.artifacts import sha256_of
from components.data.sources.item import (
    MAX_FILE_BYTES,
    Listed,
    ListedSource,
    Problem,
    RawItem,
    is_junk,
    labelled,
    matches,
    printable,
)
from components.section import digest_of

_ENCRYPTED = 0x1
_CLASSES = "labels below shared folders"
"""How files get their classes, for the fingerprint; another rule has another name."""
_PIECE = 2**20
"""Bytes unpacked at a time."""
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""The others' decoders give all that a few bytes stand for, be it gigabytes, whatever the header says."""
_HEADER_BYTES = 30
"""Least bytes before a member's own."""
_TWICE = Problem("unreadable", "its bytes are those of another member, too")
_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError,
)  # fmt: skip


class ZipSource(ListedSource):
    """The files inside a zip archive: JPEG, PNG, WebP, BMP, GIF (first frame) and TIFF."""

    kind: Literal["zip"] = "zip"
    """Files inside a zip archive."""
    path: Path
    """The archive. What systems put beside people's files, such as `__MACOSX/`, is no part of the source."""
    patterns: tuple[str, ...] = Field(default=("*",), min_length=1)
    """File names to take, as shell patterns without regard to case; others are no part of the source."""
    labels: bool = False
    """Take the first folder below those that all taken files share as a file's class, for conditional models: in an
    archive of `cifar10/cat/1.png` and `cifar10/dog/1.png`, `cat` and `dog`. Files that lie in no such folder are
    refused. A taken file beside `cifar10` would make `cifar10` the class: keep it out by `patterns`."""
    terms: str | None = None
    """Licence of the images and whom to name, in words; none: not known."""

    listed_at_once: ClassVar[int] = 2**16  # which opens an archive once for so many files

    def describe(self) -> str:
        """Return the archive's name."""
        return f"zip archive {printable(self.path.name)}"

    def licence(self) -> str | None:
        """Return what the user said about it."""
        return self.terms

    @property
    def has_classes(self) -> bool:
        """Whether folders are taken as classes."""
        return self.labels

    def fingerprint(self) -> str:
        """Return a digest of the archive's bytes, of the patterns and of whether there are classes."""
        self._open().close()
        facts = self.path.stat()
        bytes_of = _sha256(self.path, facts.st_size, facts.st_mtime_ns)
        return digest_of([bytes_of, self.patterns, *([_CLASSES] if self.labels else [])])

    def count(self) -> int:
        """Return the number of files taken from the archive's directory."""
        with self._open() as archive:
            return len(self._members(archive))

    def listing(self) -> Iterator[Listed]:
        """Yield every file in the order of sorted names, by the archive's directory.

        Raises:
            ValueError: The archive does not exist or is not a zip archive.
        """
        with self._open() as archive:
            members, twice = self._members(archive), _told_twice(archive.infolist())
        depth = _shared_folders(members) if self.labels else 0
        for member in members:
            # How deep the classes lie depends on all members: one more may give the others another class.
            stamp = f"{member.CRC:08x} {member.file_size} {member.compress_size} {depth}"
            is_told_twice = id(member) in twice
            yield Listed(printable(member.filename), stamp + " twice" * is_told_twice, (member, depth, is_told_twice))

    def read(self, listed: Iterable[Listed]) -> Iterator[RawItem]:
        """Yield these files, unpacking one at a time.

        Raises:
            ValueError: The archive does not exist or is not a zip archive.
        """
        with self._open() as archive:
            for one in listed:
                member, depth, is_told_twice = one.place
                item = RawItem(one.name, b"", _TWICE) if is_told_twice else _read(archive, member)
                yield labelled(item, depth) if self.labels else item

    def _open(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except (OSError, zipfile.BadZipFile) as error:
            raise ValueError(f"source.path: {self.path} cannot be opened as a zip archive: {error}") from error

    def _members(self, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
        return sorted(
            (
                member
                for member in archive.infolist()
                if not member.is_dir()
                and matches(PurePosixPath(member.filename).name, self.patterns)
                and not any(map(is_junk, PurePosixPath(member.filename).parts))
            ),
            key=lambda member: (member.filename, member.header_offset),
        )


def _shared_folders(members: Sequence[zipfile.ZipInfo]) -> int:
    """Return how many folders, counted from the top, all members lie in together."""
    return len(commonprefix([member.filename.split("/")[:-1] for member in members]))  # noqa: RUF071 - lists, not texts


def _told_twice(members: Sequence[zipfile.ZipInfo]) -> set[int]:
    """Return the ids of members that begin within one before them: so a small archive unpacks to as much as one likes.

    Fifield 2019, "A better zip bomb", https://www.usenix.org/conference/woot19/presentation/fifield.
    """
    found, end = set(), 0
    for member in sorted(members, key=lambda one: one.header_offset):
        if member.header_offset < end:
            found.add(id(member))
        else:
            end = member.header_offset + _HEADER_BYTES + member.compress_size
    return found


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> RawItem:
    name = printable(member.filename)
    if member.flag_bits & _ENCRYPTED:
        return RawItem(name, b"", Problem("unreadable", "encrypted"))
    if member.file_size > MAX_FILE_BYTES:
        return RawItem(name, b"", Problem("too_large", f"a file of {member.file_size} bytes"))
    if member.compress_type not in _METHODS:
        return RawItem(name, b"", Problem("unreadable", "packed by another method than deflate"))
    try:
        return RawItem(name, _unpack(archive, member))
    except _UNREADABLE as error:
        return RawItem(name, b"", Problem("unreadable", str(error)))


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Return a member's bytes, no more than its size says; `archive.read` would unpack all of a member that lies."""
    with archive.open(member) as stream:
        return b"".join(iter(partial(stream.read, _PIECE), b""))


@lru_cache(maxsize=4)  # read once in a process while it does not change: a command asks what is left to do, and does it
def _sha256(path: Path, size: int, changed_ns: int) -> str:  # noqa: ARG001 - those of the file as it is now
    return sha256_of(path)
