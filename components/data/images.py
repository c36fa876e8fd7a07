"""Images: those of a version, each once, in the order of their keys, beside what its base and the spool have of them.

All of it is sorted on disk and merged key by key, so that no process holds the keys: the files of the source, those
that stood for images in the base, the base's indexes, and what the spool holds.
"""

from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from typing import Generic, NamedTuple, TypeVar

from components.data.dataset import SPLITS, SplitConfig
from components.data.grown_from import Base
from components.data.ledger import Filed, Ledger
from components.data.memory import ITEM, PACKED, Memory
from components.data.scratch import Scratch, Table
from components.data.spool import Entry, Spool

_Found = TypeVar("_Found")
NOWHERE = -1
ROWS = "SELECT row FROM images"
"""A query for the files that stand for the images."""
_COLUMNS = (
    "key BLOB, split INTEGER, row INTEGER, facts BLOB, label INTEGER, same INTEGER, tar INTEGER, start INTEGER, "
    "size INTEGER, was INTEGER"
)
_NAME_BYTES = 16


class Image(NamedTuple):
    """One of them."""

    key: bytes
    split: int
    """Number of its split."""
    row: int
    """The file that stands for it, by its place in the source."""
    facts: bytes
    """What lies beside it, as JSON."""
    label: int
    """Number of the text that names its class."""
    same: int
    """1 where the base has it with the same facts, 0 where not."""
    tar: int
    """Number of the base's tar of this split that holds it; `NOWHERE`: it is in the spool."""
    start: int
    size: int
    """Where its bytes are, there or in the spool."""
    was: int
    """Number of its class in the base; `NOWHERE` where there is none."""


class Images:
    """What a version holds."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self.count = 0
        self.kept = 0
        """Images that the base has."""
        self.labels: set[int] = set()
        """Numbers of the texts that name their classes."""

    @classmethod
    def of(cls, ledger: Ledger, spool: Spool, base: Base | None, split: SplitConfig, scratch: Scratch) -> "Images":
        """Put together what is known of each image."""
        images, table = cls(scratch), Table(scratch, "images", _COLUMNS)
        before = _Following(_stood(base, scratch))
        spooled = _Following((entry.key, entry) for entry in spool.images())
        indexes = [_Following(_indexed(base, name)) for name in SPLITS]
        for filed in standing(ledger.by_key()):
            number = SPLITS.index(split.split_of(filed.key.decode()))
            item, known = before.at(filed.key), indexes[number].at(filed.key)
            same = item is not None and base is not None and _is_same(filed.item, ledger, item, base.memory)
            at = known or _At.spooled(spooled.at(filed.key))
            label = PACKED.unpack(filed.item)[3]
            table.add(filed.key, number, filed.row, filed.facts, label, int(same), *at)
            images.count += 1
            images.kept += item is not None
            images.labels.add(label)
        table.flush()
        return images

    def of_split(self, number: int) -> Iterator[Image]:
        """Yield the images of a split, by its number, sorted by key."""
        return map(Image._make, self._scratch.rows("SELECT * FROM images WHERE split = ? ORDER BY rowid", number))


class _At(NamedTuple):
    tar: int
    start: int
    size: int
    was: int

    @classmethod
    def spooled(cls, entry: Entry | None) -> "_At":
        return cls(NOWHERE, NOWHERE, NOWHERE, NOWHERE) if entry is None else cls(NOWHERE, *entry[1:], NOWHERE)


class _Following(Generic[_Found]):
    """What is sorted by key, asked for by keys that rise."""

    def __init__(self, rows: Iterator[tuple[bytes, _Found]]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def at(self, key: bytes) -> _Found | None:
        """Return what is there of a key, or None."""
        while self._next is not None and self._next[0] < key:
            self._next = next(self._rows, None)
        return self._next[1] if self._next is not None and self._next[0] == key else None


def standing(filed: Iterator[Filed]) -> Iterator[Filed]:
    """Yield of each key's files, which come sorted by key, the one that stands for the image: its facts sort first."""
    for _, group in groupby(filed, attrgetter("key")):
        yield min(group, key=attrgetter("facts"))


def _stood(base: Base | None, scratch: Scratch) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and packed row of the files that stood for the base's images, sorted by key."""
    table = Table(scratch, "before", "key BLOB, item BLOB")
    for block in base.memory.blocks() if base else ():
        packed = block[block["stands"]].tobytes()
        for start in range(0, len(packed), ITEM.itemsize):
            item = packed[start : start + ITEM.itemsize]
            table.add(PACKED.unpack(item)[2], item)
    table.flush()
    return scratch.rows("SELECT key, item FROM before ORDER BY key")


def _indexed(base: Base | None, split: str) -> Iterator[tuple[bytes, _At]]:
    """Yield where the base's images of a split lie, sorted by key."""
    for rows, labels in base.index(split) if base else ():
        classes = [NOWHERE] * len(rows) if labels is None else labels.tolist()
        for (key, tar, start, size), label in zip(rows.tolist(), classes, strict=True):
            yield key, _At(tar, start, size, label)


def _is_same(packed: bytes, ledger: Ledger, packed_before: bytes, memory: Memory) -> bool:
    """Return whether a file has the facts that another had: name, format, size, class and caption."""
    now, before = PACKED.unpack(packed), PACKED.unpack(packed_before)
    texts = [ledger.texts.text(number) for number in now[3:6]]
    return (
        now[0][:_NAME_BYTES] == before[0][:_NAME_BYTES]
        and now[8:10] == before[8:10]
        and texts == [memory.texts[number] for number in before[3:6]]
    )
