"""Held: files of a folder that can be had again, no more bytes of them than a limit; those not used for longest go."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from components.artifacts.files import remove_drafts

_MAKING = ".making"
"""Ends the names of what reserves room for a file that is being made; its length is that room."""


class HeldFile:
    """A file that stays where it is until it is released, or this process ends, however it ends."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes of it."""
        return os.pread(self._descriptor, size, offset)

    def release(self) -> None:
        """Let it go, unless others hold it."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)  # a process that was forked meanwhile has the descriptor, too
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Release it."""
        self.release()


class HeldFiles:
    """The files of one ending in one folder, shared by threads and processes of a machine that may be killed.

    The kernel keeps who holds what: a file by a shared lock on it, its making by a lock on the file that reserves room
    for it. So nothing that a killed process held stays held, and what it left half made is known by the lack of a lock.
    """

    def __init__(self, folder: Path, suffix: str, limit: int) -> None:
        """Share a folder.

        Args:
            folder: Where the files are; it is made with the first one.
            suffix: What their names end in; files of other names do not count.
            limit: Most bytes that they take together, those half made included.
        """
        self.folder, self.suffix, self.limit = folder, suffix, limit

    def hold(self, name: str, size: int, make: Callable[[Path], None]) -> HeldFile | None:
        """Return a file, which `make` writes if it is not there; None if all that fills the folder is being held.

        Args:
            name: Its name without the ending.
            size: Its bytes.
            make: Writes it whole or not at all, by `draft_file`; called by one thread of all processes at a time.
        """
        path = self.folder / f"{name}{self.suffix}"
        self.folder.mkdir(parents=True, exist_ok=True)
        while (held := _opened(path, size)) is None:
            with _making(path) as reservation:
                if path.is_file():  # another made it while this one waited
                    continue
                if not self._has_room(reservation, size):
                    return None
                make(path)
        return held

    def _has_room(self, reservation: int, size: int) -> bool:
        """Reserve room, made by dropping what was not used for longest; return whether there is any."""
        with _locked(self.folder / f".{self.suffix.strip('.')}.lock", fcntl.LOCK_EX):
            reserved = self._reserved_by_others()  # first: what becomes whole meanwhile is then seen twice, not never
            there = sorted((facts.st_mtime_ns, facts.st_size, path) for path, facts in self._files())
            whole = {path: bytes_ for _, bytes_, path in there}
            taken = sum(max(whole.get(path, 0), reserved.get(path, 0)) for path in whole.keys() | reserved.keys())
            for _, bytes_, path in there:
                if taken + size <= self.limit:
                    break
                taken -= bytes_ if path not in reserved and _dropped(path) else 0
            if taken + size > self.limit:
                return False
            os.ftruncate(reservation, size)
            return True

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self.folder.glob(f"[!.]*{self.suffix}"):
            with suppress(FileNotFoundError):
                yield path, path.stat()

    def _reserved_by_others(self) -> dict[Path, int]:
        """Return the bytes of files that are being made; end what was reserved by killed processes."""
        reserved = {}
        for path in self.folder.glob(f".*{self.suffix}{_MAKING}"):
            made = path.with_name(path.name[1 : -len(_MAKING)])
            with suppress(FileNotFoundError), path.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    reserved[made] = os.fstat(file.fileno()).st_size
                else:
                    remove_drafts(made)
                    path.unlink()
        return reserved


def _opened(path: Path, size: int) -> HeldFile | None:
    """Return the file, held and marked as used now, or None if it is not there whole."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    held, facts = HeldFile(path, descriptor), os.fstat(descriptor)
    if facts.st_nlink and facts.st_size == size:
        with suppress(PermissionError):  # of a file that another account of this machine has made
            os.utime(descriptor)
        return held
    if facts.st_nlink:  # cut short by something that is none of ours
        path.unlink(missing_ok=True)
    held.release()  # dropped between its being opened and held
    return None


def _dropped(path: Path) -> bool:
    """Delete a file unless it is held; return whether it was."""
    with suppress(BlockingIOError, FileNotFoundError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
        return True
    return False


@contextmanager
def _making(path: Path) -> Iterator[int]:
    """Wait until nobody else makes a file, and yield the descriptor of what reserves room for it."""
    reservation = path.with_name(f".{path.name}{_MAKING}")
    while True:
        with _locked(reservation, fcntl.LOCK_EX) as descriptor:
            if os.fstat(descriptor).st_nlink:  # else whoever made it has just ended, and removed this
                try:
                    os.ftruncate(descriptor, 0)  # a killed one may have left it, and what it had made
                    remove_drafts(path)
                    yield descriptor
                finally:
                    reservation.unlink(missing_ok=True)
                return


@contextmanager
def _locked(path: Path, how: int) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, how)
        yield descriptor
    finally:
        os.close(descriptor)
