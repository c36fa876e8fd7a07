"""Journal: lines that are kept before they are sent, in a file that only grows, and how much of it was sent."""

import errno
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.artifacts import write_atomically

Entry = Mapping[str, Any]


class Journal:
    """One JSON object per line. A kill, also in the middle of a line, costs nothing that `append` returned from.

    One process writes at a time; in it, one thread may append while another sends.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._place = path.with_suffix(".sent")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        self._drop_torn_line()

    def append(self, entry: Entry) -> None:
        """Keep an entry: it outlives this process at once, and a power cut after `sync`.

        Raises:
            OSError: The disk is full; nothing was kept.
        """
        line = json.dumps(dict(entry)).encode() + b"\n"
        before = os.fstat(self._file).st_size
        if os.write(self._file, line) < len(line):
            os.ftruncate(self._file, before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def sync(self) -> None:
        """Make what was appended durable."""
        os.fsync(self._file)

    def entries(self) -> Iterator[Entry]:
        """Yield all that was kept, in order."""
        for entry, _ in self._read(0):
            yield entry

    def unsent(self) -> Iterator[tuple[Entry, int]]:
        """Yield what was not sent yet, in order, each with what `mark_sent` takes once it and all before it are."""
        yield from self._read(self._bytes_sent())

    def mark_sent(self, place: int) -> None:
        """Remember that all up to `place` was sent."""
        write_atomically(self._place, str(place).encode())

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def _read(self, start: int) -> Iterator[tuple[Entry, int]]:
        with self._path.open("rb") as file:
            file.seek(start)
            place = start
            for line in file:
                if not line.endswith(b"\n"):
                    return  # being written at this moment
                place += len(line)
                try:
                    entry = json.loads(line)
                except ValueError:  # what a power cut left of a line
                    continue
                if isinstance(entry, dict):
                    yield entry, place

    def _bytes_sent(self) -> int:
        """Return how many bytes were sent. If that is not known, all is sent again, which changes nothing."""
        try:
            place = int(self._place.read_text())
        except (FileNotFoundError, ValueError):
            return 0
        return place if place <= os.fstat(self._file).st_size else 0

    def _drop_torn_line(self) -> None:
        size = os.fstat(self._file).st_size
        start = 0
        with self._path.open("rb") as file:
            for line in file:
                start += len(line) if line.endswith(b"\n") else 0
        if start < size:
            os.ftruncate(self._file, start)
