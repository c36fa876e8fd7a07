"""Ledger: what became of every file of a source, as rows on disk that are read back by file, by id or by key."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from components.data.memory import ITEM, ITEMS, TEXTS, Rows
from components.data.rows_on_disk import AT_ONCE, write_rows
from components.data.scratch import Scratch, Table
from components.data.sources import Problem
from components.data.texts import Texts, read, stored

_FIRST_FEW = 5
_STANDS = b"\1"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An item that did not become an image."""

    name: str
    problem: Problem


class Filed(NamedTuple):
    """The file of an accepted image."""

    key: bytes
    row: int
    """Its place in the source's order."""
    item: bytes
    """As in the memory of a version, packed."""
    facts: bytes
    """What lies beside the image, as JSON."""


class Ledger:
    """Takes a row for each file of a source, in its order."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        columns = "row INTEGER PRIMARY KEY, key BLOB, item BLOB, facts BLOB"
        self._items = Table(scratch, "items", columns)
        self._refusals = Table(scratch, "refusals", "name BLOB, reason TEXT, found BLOB")
        self.texts = Texts(scratch)
        self.found = 0
        """Files."""
        self.accepted = 0
        """Those of them that became images."""
        self.refused: Counter[str] = Counter()
        """The others, by reason."""
        self.first_unusable: list[Refusal] = []
        """A few of those that were refused for what they are, not for being forgotten."""

    def add(self, item: bytes, key: str, facts: bytes) -> None:
        """Take in the next file: its packed row, its image's key, empty if there is none, and the image's facts."""
        self._items.add(self.found, key.encode() or None, item, facts)
        self.found += 1
        self.accepted += bool(key)

    def refuse(self, one: Refusal) -> None:
        """Write down why the next file is no image."""
        self._refusals.add(stored(one.name), one.problem.reason, stored(one.problem.found))
        self.refused[one.problem.reason] += 1
        if one.problem.reason != "forgotten" and len(self.first_unusable) < _FIRST_FEW:
            self.first_unusable.append(one)

    def by_key(self) -> Iterator[Filed]:
        """Yield the files of accepted images, sorted by key, and those of one key in the source's order."""
        self._items.flush()
        query = "SELECT key, row, item, facts FROM items WHERE key IS NOT NULL ORDER BY key, row"
        return map(Filed._make, self._scratch.rows(query))

    def write_memory(self, folder: Path, standing: str) -> None:
        """Write the memory of a version into its folder.

        Args:
            folder: The folder.
            standing: A query for the rows of the files that stand for the images.
        """
        self._items.flush()
        self._scratch.run("CREATE TABLE standing (row INTEGER PRIMARY KEY)")
        self._scratch.run(f"INSERT INTO standing {standing} ORDER BY row")
        query = (
            "SELECT item, standing.row IS NOT NULL FROM items LEFT JOIN standing ON standing.row = items.row "
            "ORDER BY substr(item, 1, 32), items.row"
        )
        packed = (item[:-1] + _STANDS if stands else item for item, stands in self._scratch.rows(query))
        write_rows(folder / ITEMS, ITEM, self.found, _blocks(packed))
        self.texts.write(folder / TEXTS)

    def write_refusals(self, path: Path) -> None:
        """Write a line of JSON for each file that was refused, sorted by name."""
        self._refusals.flush()
        with path.open("w", encoding="utf-8") as file:
            for name, reason, found in self._scratch.rows("SELECT * FROM refusals ORDER BY name, reason, found"):
                file.write(json.dumps({"name": read(name), "reason": reason, "found": read(found)}) + "\n")


def _blocks(packed: Iterator[bytes]) -> Iterator[Rows]:
    while some := list(islice(packed, AT_ONCE)):
        yield np.frombuffer(b"".join(some), ITEM)
