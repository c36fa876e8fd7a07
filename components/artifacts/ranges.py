"""Ranges: an object of a bucket as a file that is read at any place, without a copy of it."""

import io
import os
from typing import TYPE_CHECKING

from components.artifacts.files import Listing

if TYPE_CHECKING:
    from components.artifacts.foreign import ForeignObjects

_PIECE = 1 << 20


class _Ranges(io.RawIOBase):
    def __init__(self, storage: "ForeignObjects", listed: Listing) -> None:
        super().__init__()
        self._storage = storage
        self._listed = listed
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._listed.size}[whence]
        self._place = max(0, start + offset)
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: "memoryview[int]", /) -> int:  # type: ignore[override]
        content = self._storage.read_listed(self._listed, self._place, self._place + len(buffer))
        buffer[: len(content)] = content
        self._place += len(content)
        return len(content)


def as_file(storage: "ForeignObjects", listed: Listing) -> io.BufferedReader:
    """Return an object as a binary file; it is read as far as it is asked for, a MiB at least with each request.

    Reading raises StorageError or FileNotFoundError, as `ForeignObjects.read_listed` does.
    """
    return io.BufferedReader(_Ranges(storage, listed), _PIECE)
