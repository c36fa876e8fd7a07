"""Contents: what bytes came to in an earlier version, found by their sha256, under whatever name they come now."""

import numpy as np

from components.data.memory import Memory, Outcome
from components.data.scratch import Scratch, Table
from components.data.survey import sha256_of_known


class Contents:
    """All bytes that a memory knows. They are put in order when the first is asked for: most nights none is new."""

    def __init__(self, memory: Memory, scratch: Scratch) -> None:
        self._memory = memory
        self._scratch = scratch
        self._is_ordered = False

    def find(self, sha256: bytes) -> Outcome | None:
        """Return what bytes of this digest came to; None where they were not seen."""
        if not self._memory.version:
            return None
        if not self._is_ordered:
            self._order()
            self._is_ordered = True
        found = self._scratch.first("SELECT row FROM contents WHERE sha256 = ?", sha256)
        return None if found is None else self._memory.outcome(self._memory.row(found[0]))

    def _order(self) -> None:
        """Sort the digests of the bytes that were read; of equal ones the first row counts."""
        found, row = Table(self._scratch, "unordered", "sha256 BLOB, row INTEGER"), 0
        for block in self._memory.blocks():
            for one in np.flatnonzero(~block["unread"]).tolist():
                found.add(sha256_of_known(block[one]), row + one)
            row += len(block)
        found.flush()
        self._scratch.run("CREATE TABLE contents (sha256 BLOB PRIMARY KEY, row INTEGER) WITHOUT ROWID")
        self._scratch.run("INSERT OR IGNORE INTO contents SELECT sha256, row FROM unordered ORDER BY sha256, row")
        self._scratch.run("DROP TABLE unordered")
