"""Spool: images encoded but not yet in a shard, in a file that outlives the process, so that nothing is done twice."""

import json
import os
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import NamedTuple, Self

from filelock import FileLock

from components.data.memory import Outcome
from components.data.scratch import Scratch, Table
from components.data.sources import Problem

_HEAD = struct.Struct("<IIII32s")
"""crc32 of all that follows it, length of the facts, of the image, a mark; then the sha256 of the file's bytes."""
_MARK = 0x4B494E54
SPOOLS = ".spool"
"""Folder for spools in a store's local folder."""
_STALE_S = 7 * 86_400


class Entry(NamedTuple):
    """An image in the spool."""

    key: bytes
    start: int
    """Where its bytes begin."""
    bytes: int


class Spool:
    """What files' bytes came to, found again by their sha256. One process writes; its threads may ask.

    Each entry carries its checksum: what a kill or a power cut tore is cut off when the file is opened again. Where
    entries lie is no part of the file, but a table made anew each time.
    """

    def __init__(self, file: FileIO, path: Path, scratch: Scratch) -> None:
        self._file = file
        self._path = path
        self._scratch = scratch
        columns = "number INTEGER PRIMARY KEY, sha256 BLOB, key BLOB, start INTEGER, facts INTEGER, image INTEGER"
        self._entries = Table(scratch, "entries", columns)
        self.taken_up = 0
        """Entries that an interrupted process left."""

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Open the spool at `path`, with what an interrupted process left there.

        Other processes that open it wait meanwhile; the kernel lets them in if this one is killed.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(path.parent)
        with FileLock(f"{path}.lock"), path.open("a+b", buffering=0) as file, Scratch() as scratch:
            spool = cls(file, path, scratch)
            spool._take_up()
            yield spool

    def find(self, sha256: bytes) -> Outcome | None:
        """Return what bytes of this digest came to in an interrupted process; None where it did not come to them."""
        if not self.taken_up:
            return None
        found = self._scratch.first("SELECT start, facts FROM earlier WHERE sha256 = ?", sha256)
        if found is None:
            return None
        key, original_format, width, height, *problem = json.loads(self._read(*found))
        return Outcome(key, original_format, (width, height), Problem(*problem) if problem else None)

    def add(self, sha256: bytes, outcome: Outcome, image: bytes) -> None:
        """Keep what bytes of this digest came to, and the encoded image; empty for a refusal."""
        problem = [outcome.problem.reason, outcome.problem.found] if outcome.problem else []
        facts = json.dumps([outcome.key, outcome.original_format, *outcome.original_size, *problem]).encode()
        head = _HEAD.pack(0, len(facts), len(image), _MARK, sha256)[4:]
        check = zlib.crc32(image, zlib.crc32(facts, zlib.crc32(head)))
        start = self._file.tell() + _HEAD.size
        entry = memoryview(struct.pack("<I", check) + head + facts + image)
        while entry:  # not buffered: what could not be written must not come again as the file is closed
            entry = entry[self._file.write(entry) :]
        self._entries.add(None, sha256, outcome.key.encode(), start, len(facts), len(image))

    def images(self) -> Iterator[Entry]:
        """Yield the entries that hold an image, sorted by key, one of each."""
        self._entries.flush()
        last = b""
        query = "SELECT key, start + facts, image FROM entries WHERE key <> x'' ORDER BY key, number"
        for entry in map(Entry._make, self._scratch.rows(query)):
            if entry.key != last:
                yield entry
            last = entry.key

    def image(self, entry: Entry) -> bytes:
        """Return the image of an entry."""
        return self._read(entry.start, entry.bytes)

    def discard(self) -> None:
        """Delete the file: what it held is in a finished version now."""
        self._path.unlink(missing_ok=True)

    def _read(self, start: int, size: int) -> bytes:
        return os.pread(self._file.fileno(), size, start)

    def _take_up(self) -> None:
        """Find the entries that are whole, and cut off what follows them."""
        end = 0
        while entry := self._whole_entry(end):
            sha256, facts, image = entry
            start = end + _HEAD.size
            self._entries.add(None, sha256, json.loads(facts)[0].encode(), start, len(facts), image)
            end = start + len(facts) + image
            self.taken_up += 1
        self._file.truncate(end)
        self._file.seek(end)
        self._entries.flush()
        if self.taken_up:
            columns = "sha256 BLOB PRIMARY KEY, start INTEGER, facts INTEGER"
            self._scratch.run(f"CREATE TABLE earlier ({columns}) WITHOUT ROWID")
            query = "SELECT sha256, start, facts FROM entries ORDER BY sha256, number"
            self._scratch.run(f"INSERT OR IGNORE INTO earlier {query}")

    def _whole_entry(self, start: int) -> tuple[bytes, bytes, int] | None:
        """Return digest, facts and the image's length of the entry at `start`; None where none is whole."""
        head = self._read(start, _HEAD.size)
        if len(head) < _HEAD.size:
            return None
        check, facts_bytes, image_bytes, mark, sha256 = _HEAD.unpack(head)
        if mark != _MARK or start + _HEAD.size + facts_bytes + image_bytes > os.fstat(self._file.fileno()).st_size:
            return None
        body = self._read(start + _HEAD.size, facts_bytes + image_bytes)
        if zlib.crc32(body, zlib.crc32(head[4:])) != check:
            return None
        return sha256, body[:facts_bytes], image_bytes


def _remove_stale(folder: Path) -> None:
    """Delete spools that nobody has come back to."""
    for path in folder.glob("*.spool"):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - _STALE_S:
                path.unlink()
