"""Scratch: tables on disk for as long as they are open, sorted and joined there by SQLite in a few MiB of memory."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

_CACHE_KIB = 4096
"""Pages of tables that are held, and again as much of rows that are being sorted."""
_ROWS_AT_ONCE = 512
_IS_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE}


class Scratch:
    """A database in a file without a name, which is gone with the process that opened it, however that ends.

    It lies where `TMPDIR` says, else in /var/tmp. What does not fit into its cache is written there; what is sorted,
    too: in runs that are then merged.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "temp_store=FILE", f"cache_size=-{_CACHE_KIB}"):
            self._database.execute(f"PRAGMA {pragma}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._database.close()

    def run(self, sql: str, *values: object) -> None:
        """Execute a statement.

        Raises:
            OSError: The disk is full.
        """
        with _told_when_full():
            self._database.execute(sql, values)

    def rows(self, sql: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query, one at a time.

        Raises:
            OSError: The disk is full.
        """
        with _told_when_full():
            # Not "yield from", which would close the query, maybe after the database.
            for row in self._database.execute(sql, values):  # noqa: UP028
                yield row

    def first(self, sql: str, *values: object) -> tuple[Any, ...] | None:
        """Return the first row of a query; None where there is none."""
        with _told_when_full():
            found: tuple[Any, ...] | None = self._database.execute(sql, values).fetchone()
            return found

    def add(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        """Execute a statement for each row.

        Raises:
            OSError: The disk is full.
        """
        with _told_when_full():
            self._database.executemany(sql, rows)


class Table:
    """One table, to which rows are appended."""

    def __init__(self, scratch: Scratch, name: str, columns: str) -> None:
        self._scratch = scratch
        self._sql = f"INSERT INTO {name} VALUES ({', '.join('?' * (columns.count(',') + 1))})"
        self._pending: list[tuple[Any, ...]] = []
        scratch.run(f"CREATE TABLE {name} ({columns})")

    def add(self, *values: object) -> None:
        """Append one row."""
        self._pending.append(values)
        if len(self._pending) == _ROWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Let queries find all that was appended."""
        self._scratch.add(self._sql, self._pending)
        self._pending = []


@contextmanager
def _told_when_full() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode not in _IS_FULL:
            raise
        where = os.environ.get("SQLITE_TMPDIR") or os.environ.get("TMPDIR") or "/var/tmp"
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), where) from error
