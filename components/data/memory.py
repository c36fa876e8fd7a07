"""Memory: what became of every file that a data version was made from, so that the next one reads only what is new."""

import hashlib
import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from jaxtyping import Shaped

from components.data.preparation import KEY_DIGITS
from components.data.rows_on_disk import find, lower_bounds, mapped, read_rows
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
PACKED = struct.Struct("<32s32s32s7I??")
"""The same, field by field."""
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


def id_of(name: str, stamp: str) -> bytes:
    """Return 32 bytes that name and stamp determine, those of the name first; no stamp is 16 zeros."""
    return name_part(name) + (_half(stamp) if stamp else bytes(_HALF))


def name_part(name: str) -> bytes:
    """Return the 16 bytes with which the ids of all files of this name begin."""
    return _half(name)


def _half(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[:_HALF]


class Memory:
    """The rows of one data version, sorted by id: a file that is read where it is asked, and not held."""

    def __init__(self, version: str, path: Path | None, texts: Sequence[str]) -> None:
        self.version = version
        """Digest of the data version that it is of; empty where nothing is known."""
        self.texts = texts
        self._path = path

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
        rows = mapped(path)
        if rows.dtype != ITEM or rows.ndim != 1:
            raise ValueError(f"{path}: rows of {rows.dtype}, this code reads {ITEM}")
        return cls(folder.name, path, json.loads((folder / TEXTS).read_bytes()))

    def blocks(self) -> Iterator[Rows]:
        """Yield all rows in order, some at a time."""
        return iter(()) if self._path is None else read_rows(self._path)

    def row(self, number: int) -> np.void:
        """Return a row by its number.

        Raises:
            IndexError: There is no such row.
        """
        found: np.void = self._rows()[number : number + 1].copy()[0]
        return found

    def unchanged(self, ids: Sequence[bytes]) -> list[np.void | None]:
        """Return the rows with these ids; None where there is none, or where the file was not read."""
        rows, wanted = self._rows(), np.array(ids, "S32")
        places = find(rows["id"], wanted)
        known = np.array(rows[np.maximum(places, 0)]) if len(rows) else np.empty(len(ids), ITEM)
        is_known = (places >= 0) & ~known["unread"]
        return [row if there else None for row, there in zip(known, is_known.tolist(), strict=True)]

    def named(self, name: str) -> Rows:
        """Return the rows of the files of this name, whatever their stamps."""
        rows, first = self._rows(), name_part(name)
        start, end = lower_bounds(rows["id"], np.array([first, first + b"\xff" * _HALF], "S32")).tolist()
        return np.array(rows[start:end])

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

    def _rows(self) -> Rows:
        """Map the file, for as long as the caller needs it: what is touched is this process's memory meanwhile."""
        return np.empty(0, ITEM) if self._path is None else mapped(self._path)


NOTHING = Memory("", None, ("",))
"""What is known before the first version."""
