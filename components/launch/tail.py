"""Tail: passes on what ranks write into their log files, whole lines only.

torchrun can do so itself, but takes what a file has at that moment for a line: half of one, where it looks while a rank
is writing across a page of memory, and the rank's number then stands in the middle of a number.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

_OFTEN_S = 0.1
_AT_ONCE = 1 << 16


class Tail:
    """Follows `*/attempt_0/N/stdout.log` and `stderr.log` below a folder, as torchrun lays them out.

    Args:
        folder: Torchrun's log folder; the files may come later.
        first_rank: The rank of process 0 of this host.
        write: Takes each line, as "[rank 0] text" with its end.
    """

    def __init__(self, folder: Path, first_rank: int, write: Callable[[bytes], object]) -> None:
        self._folder = folder
        self._first_rank = first_rank
        self._write = write
        self._rests: dict[Path, bytes] = {}
        self._offsets: dict[Path, int] = {}
        self._ended = threading.Event()
        self._follower = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> "Tail":
        self._follower.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._follower.join()

    def _follow(self) -> None:
        while not self._ended.wait(_OFTEN_S):
            self._pass_on()
        self._pass_on()
        for file, rest in self._rests.items():
            if rest:
                self._say(file, rest)

    def _pass_on(self) -> None:
        for file in sorted(self._folder.glob("*/attempt_0/*/std*.log")):
            for content in self._new(file):
                *lines, self._rests[file] = (self._rests.get(file, b"") + content).split(b"\n")
                for line in lines:
                    self._say(file, line)

    def _new(self, file: Path) -> Iterator[bytes]:
        with file.open("rb") as log:
            log.seek(self._offsets.get(file, 0))
            while content := log.read(_AT_ONCE):
                self._offsets[file] = log.tell()
                yield content

    def _say(self, file: Path, line: bytes) -> None:
        self._write(b"[rank %d] %b\n" % (self._first_rank + int(file.parent.name), line))


def to_stdout(line: bytes) -> None:
    """Write a line to this process's standard output at once."""
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
