"""Memory: what became of every file that a data version was made from, so that the next one reads only what is new."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from jaxtyping import Int64, Shaped

from components.data.preparation import KEY_DIGITS
from components.data.sources import Problem

ITEMS = "items.npy"
TEXTS = "items.json"
ITEM = np.dtype(
    [
        ("id", "S32"),
        ("sha256", "S32"),
        ("key", f"S{KEY_DIGITS}"),
        ("label", "<u4"),
        ("caption", "<u4"),
        ("format", "<u4"),
        ("reason", "<u4"),
        ("found", "<u4"),
        ("width", "<u4"),
        ("height", "<u4"),
        ("unread", "?"),
        ("stands", "?"),
    ]
)
"""One file. `id`: half of the sha256 of its name, then of its stamp. `sha256`: of its bytes. `key`: of its image, empty
where it was refused. `label`, `caption`, `format`, `reason`, `found`: numbers of texts, 0 for none. `unread`: the
source gave a problem in place of bytes. `stands`: of the files with one image, its facts lie beside it."""
Rows = Shaped[np.ndarray, " rows"]
"""Of `ITEM`."""
_HALF = 16


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the bytes of a file came to: an image with this key, or a problem."""

    key: str = ""
    original_format: str = ""
    original_size: tuple[int, int] = (0, 0)
    problem: Problem | None = None


class Texts:
    """The texts that rows refer to by number, each held once; number 0 is the empty text."""

    def __init__(self) -> None:
        self._numbers = {"": 0}

    def number(self, text: str | None) -> int:
        """Return the number of a text, a new one if it was not seen yet."""
        return self._numbers.setdefault(text or "", len(self._numbers))

    def all(self) -> list[str]:
        """Return the texts in the order of their numbers."""
        return list(self._numbers)


def id_of(name: str, stamp: str) -> bytes:
    """Return 32 bytes that name and stamp determine, those of the name first; no stamp is 16 zeros."""
    return name_part(name) + (_half(stamp) if stamp else bytes(_HALF))


def name_part(name: str) -> bytes:
    """Return the 16 bytes with which the ids of all files of this name begin."""
    return _half(name)


def _half(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[:_HALF]


class Memory:
    """The rows of one data version, sorted by id, as a file that is mapped and not held."""

    def __init__(self, version: str, rows: Rows, texts: Sequence[str]) -> None:
        self.version = version
        """Digest of the data version that it is of; empty where nothing is known."""
        self.rows = rows
        self.texts = texts

    def __eq__(self, other: object) -> bool:
        """Whether both are of one version."""
        return isinstance(other, Memory) and self.version == other.version

    def __hash__(self) -> int:
        """Return a number that follows from the version."""
        return hash(self.version)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the memory in a version's folder; None where an earlier release left none.

        Raises:
            ValueError: The files are not those of a memory.
        """
        path = folder / ITEMS
        if not path.is_file():
            return None
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
        if rows.dtype != ITEM or rows.ndim != 1:
            raise ValueError(f"{path}: rows of {rows.dtype}, this code reads {ITEM}")
        return cls(folder.name, rows, json.loads((folder / TEXTS).read_bytes()))

    @staticmethod
    def write(folder: Path, rows: Rows, texts: Sequence[str]) -> None:
        """Write rows, in any order, and their texts into a version's folder."""
        ordered = rows[np.argsort(rows["id"], kind="stable")]
        np.save(folder / ITEMS, ordered, allow_pickle=False)
        (folder / TEXTS).write_text(json.dumps(list(texts)), encoding="utf-8")

    def unchanged(self, ids: Sequence[bytes]) -> Int64[np.ndarray, " ids"]:
        """Return the numbers of the rows with these ids; -1 where there is none, or where the file was not read."""
        wanted = np.array(ids, "S32")
        places = find(self.rows["id"], wanted)
        places[places >= 0] = np.where(self.rows["unread"][places[places >= 0]], -1, places[places >= 0])
        return places

    def named(self, name: str) -> Rows:
        """Return the rows of the files of this name, whatever their stamps."""
        first = name_part(name)
        start = np.searchsorted(self.rows["id"], np.bytes_(first))
        end = np.searchsorted(self.rows["id"], np.bytes_(first + b"\xff" * _HALF), side="right")
        return self.rows[start:end]

    def of_content(self, sha256: bytes) -> Outcome | None:
        """Return what bytes of this digest came to; None where they were not seen."""
        number = int(find(self._by_content[0], np.array([sha256], "S32"))[0])
        return None if number < 0 else self.outcome(self.rows[self._by_content[1][number]])

    def outcome(self, row: np.void) -> Outcome:
        """Return what a row says its file came to."""
        if row["reason"]:
            reason: Any = self.texts[row["reason"]]
            return Outcome(problem=Problem(reason, self.texts[row["found"]]))
        return Outcome(row["key"].decode(), self.texts[row["format"]], (int(row["width"]), int(row["height"])))

    def label(self, row: np.void) -> str | None:
        """Return the class of a row's file."""
        return self.texts[row["label"]] or None

    def caption(self, row: np.void) -> str | None:
        """Return the text about a row's file, if it has one."""
        return self.texts[row["caption"]] or None

    @cached_property
    def _by_content(self) -> tuple[Shaped[np.ndarray, " read"], Int64[np.ndarray, " read"]]:
        """The digests of all bytes that were read, in order, and the rows that they are of."""
        read = np.flatnonzero(~self.rows["unread"])
        digests = self.rows["sha256"][read]
        order = np.argsort(digests, kind="stable")
        return digests[order], read[order]


NOTHING = Memory("", np.empty(0, ITEM), ("",))
"""What is known before the first version."""


def find(ordered: Shaped[np.ndarray, " rows"], wanted: Shaped[np.ndarray, " wanted"]) -> Int64[np.ndarray, " wanted"]:
    """Return where each wanted value is first among the ordered ones, -1 where it is not."""
    if not len(ordered):
        return np.full(len(wanted), -1, np.int64)
    places = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    return np.where(ordered[places] == wanted, places, -1)
