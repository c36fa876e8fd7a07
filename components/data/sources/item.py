"""What a source hands over: raw items, and the problems that keep an item from becoming an image."""

import hashlib
import json
import os
import stat
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Literal, Self

from components.section import Section

MAX_FILE_BYTES = 512 * 2**20
"""No file above this size is read into memory: an image of 50 million pixels needs less, even uncompressed."""

_FRESH_NS = 2 * 10**9
"""A file changed so lately may change again without its times telling: some file systems count in steps of 2 s."""

_JUNK = {
    ".ds_store", ".localized", "__macosx", ".appledouble", ".spotlight-v100", ".trashes", ".fseventsd",
    "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "$recycle.bin", "system volume information",
    "@eadir", "lost+found",
}  # fmt: skip
"""What macOS, Windows, Synology's disk stations and Linux put beside people's files, in small letters."""

Reason = Literal[
    "empty",
    "not_an_image",
    "truncated",
    "damaged",
    "too_large",
    "unsupported_pixels",
    "unreadable",
    "not_regular",
    "link_outside",
    "no_class",
    "forgotten",
    "crashed_the_decoder",
    "took_too_long",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an item is refused: one of a few reasons to count by, and what was found, in words."""

    reason: Reason
    found: str


@dataclass(frozen=True, slots=True)
class RawItem:
    """One file of a source, as it came; `content` is empty where a `problem` kept it from being read."""

    name: str
    content: bytes
    problem: Problem | None = None
    label: str | None = None
    """Name of its class, where the source was asked for classes."""
    caption: str | None = None
    """A text about it, where the source was asked for one."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One file of a source, before it is read."""

    name: str
    """As that of its `RawItem`. Not always unique: an archive may hold a name twice."""
    stamp: str
    """Changes whenever its bytes or its class may have: made of size and time of change, an ETag, a checksum. Empty
    where nothing tells, so that it is always read."""
    place: Any = field(default=None, compare=False, repr=False)
    """What the source finds it by when it is read, such as a path; nobody else looks at it, and it is not kept."""


def labelled(item: RawItem, depth: int = 0) -> RawItem:
    """Return the item with its first folder below `depth` others as its class; one that lies in none is refused."""
    folders = item.name.split("/")[depth:-1]
    if folders:
        return replace(item, label=folders[0])
    beside = Problem("no_class", "a file beside the folders that name the classes")
    return replace(item, content=b"", problem=item.problem or beside)


class Source(Section, ABC):
    """Where images come from. Subclasses carry a `kind` and are listed in the union `SourceConfig`."""

    fingerprint_is_of_items: ClassVar[bool] = False
    """True where `fingerprint` is the `ContentDigest` of `items`, so that a change while reading is noticed."""
    is_made_here: ClassVar[bool] = False
    """True where this program encodes the pictures itself: their bytes cannot be made to break a decoder."""

    @abstractmethod
    def describe(self) -> str:
        """Return the source in a few words for people, without the place where it lies."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a digest that changes whenever `items` would give other names or other bytes."""

    def signature(self) -> str:
        """Return what changes when `fingerprint` may have, at less cost where that is possible."""
        return self.fingerprint()

    @abstractmethod
    def items(self) -> Iterator[RawItem]:
        """Yield every file in the same order each time, reading one at a time."""

    @property
    def has_classes(self) -> bool:
        """Whether every item that is not refused has a class."""
        return False

    def count(self) -> int | None:
        """Return the number of items, or None where only reading tells."""
        return None

    def licence(self) -> str | None:
        """Return the licence and whom to name, or None where it is not known."""
        return None

    def for_size(self, size: int) -> Self:  # noqa: ARG002 - most sources do not depend on it
        """Return the source as it is for a dataset of `size` pixels; only drawn sources depend on it."""
        return self


class ListedSource(Source):
    """A source that says what it holds without reading it, so that of a grown one only what is new is read.

    A subclass gives `listing` and `read`; `items` follows from them.
    """

    listed_at_once: ClassVar[int] = 2**12
    """Files that are looked up, and read, together: as many are held, without their bytes."""

    @abstractmethod
    def listing(self) -> Iterator[Listed]:
        """Yield every file in the same order each time, opening none.

        Raises:
            ValueError: The place is not there or cannot be listed.
        """

    @abstractmethod
    def read(self, listed: Iterable[Listed]) -> Iterator[RawItem]:
        """Yield just these files, which `listing` gave, one item each, in the order given, reading one at a time.

        What cannot be read, or is gone by now, is an item with a `problem`.
        """

    def items(self) -> Iterator[RawItem]:
        """Yield every file in the order of `listing`, reading one at a time.

        Raises:
            ValueError: The place is not there or cannot be listed.
        """
        return self.read(self.listing())


class ContentDigest:
    """A running sha256 over the names, the bytes, the problems and the classes of items."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, item: RawItem) -> None:
        """Take in one more item; the order of items counts."""
        reason = item.problem.reason if item.problem else None
        self.add_known(item.name, hashlib.sha256(item.content).hexdigest(), reason, item.label)

    def add_known(self, name: str, sha256: str, reason: Reason | None, label: str | None) -> None:
        """Take in one more item of which the sha256 of its bytes, in hexadecimal, is known."""
        self._hash.update(json.dumps([name, sha256, reason, *([] if label is None else [label])]).encode())

    def hexdigest(self) -> str:
        """Return 32 hexadecimal digits for the items taken in so far."""
        return self._hash.hexdigest()[:32]


def stamp_of(facts: os.stat_result) -> str:
    """Return the stamp of a local file: of its size, times and place on the disk.

    Empty for what is no regular file, and for one so young that it may change again within the same tick of the clock.
    """
    if not stat.S_ISREG(facts.st_mode) or time.time_ns() - facts.st_mtime_ns < _FRESH_NS:
        return ""
    return f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns} {facts.st_ino}"


def is_junk(name: str) -> bool:
    """Return whether a file or folder of this name is a system's and no person's, such as `._a.jpg` or Thumbs.db."""
    return name.startswith("._") or name.lower() in _JUNK


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Return whether a file name fits one of the shell patterns, without regard to case."""
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


def printable(name: str) -> str:
    r"""Return a file name that any text file can hold: bytes that are not UTF-8 become `\xNN`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
