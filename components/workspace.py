"""Workspace: where things live on this machine, whether there is room for more, and who trains what."""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_GIB = 1 << 30


class WorkspaceError(RuntimeError):
    """There is no room, or another process is at work in the same place."""


@dataclass(frozen=True)
class Workspace:
    """The folders under one home."""

    home: Path

    @classmethod
    def from_environment(cls) -> Self:
        """Return this machine's workspace: at KINTSUGI_HOME, or ./workspace where that is unset or empty.

        Nothing is made: asking where things would live is no reason for a folder.

        Raises:
            ValueError: KINTSUGI_HOME names the home of nobody, or something that is no folder.
        """
        stated = os.environ.get("KINTSUGI_HOME") or "workspace"
        try:
            home = Path(stated).expanduser().absolute()
        except RuntimeError as error:
            raise ValueError(f"KINTSUGI_HOME is {stated!r}: {error}") from error
        there = next(place for place in (home, *home.parents) if os.path.lexists(place))
        if not there.is_dir():
            raise ValueError(f"KINTSUGI_HOME is {stated!r}: expected a folder, but {there} is none")
        return cls(home)

    def create(self) -> Self:
        """Create the folders that are missing, and return the workspace.

        Raises:
            ValueError: Nothing can be written there.
        """
        for folder in (self.store, self.training, self.cache, self.pages, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK):  # said now, and not by a server half a minute later
                raise ValueError(f"{folder} cannot be written to: see who owns it, and how its disk is mounted")
        return self

    @property
    def store(self) -> Path:
        """Artifacts, unless the configuration names another store."""
        return self.home / "store"

    @property
    def default_store(self) -> str:
        """Where artifacts are kept unless a configuration or a command says: KINTSUGI_STORE, or `store` of the home."""
        return os.environ.get("KINTSUGI_STORE") or str(self.store)

    @property
    def training(self) -> Path:
        """One folder per run in progress: checkpoints, curves, pictures."""
        return self.home / "training"

    @property
    def cache(self) -> Path:
        """What can be made or fetched again: decoded images, copies from a shared store."""
        return self.home / "cache"

    @property
    def pages(self) -> Path:
        """Pages for people."""
        return self.home / "pages"

    @property
    def logs(self) -> Path:
        """What launched processes said."""
        return self.home / "logs"

    @property
    def prefect(self) -> Path:
        """Prefect's own files, unless PREFECT_HOME says otherwise; Prefect makes it."""
        return self.home / "prefect"

    @contextmanager
    def training_lock(self, digest: str, wait_s: float = 0.0) -> Iterator[Path]:
        """Hold the training of `digest` on this machine and give its folder; the kernel lets go if we are killed.

        Raises:
            WorkspaceError: Another process holds it, still after `wait_s` seconds.
        """
        folder = self.training / digest
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive(self.training / f".{digest}.lock", f"training {digest}", wait_s):
            yield folder


@contextmanager
def exclusive(file: Path, what: str, wait_s: float = 0.0) -> Iterator[None]:
    """Hold a lock file, for `what`, against all other processes of this machine.

    Raises:
        WorkspaceError: Another process holds it, still after `wait_s` seconds; the message names that process.
    """
    from filelock import FileLock, Timeout  # here, for most commands only ask where things live

    holder = file.with_suffix(".holder")
    lock = FileLock(file, mode=0o666)
    try:
        lock.acquire(timeout=wait_s)
    except Timeout as error:
        who = holder.read_text() if holder.is_file() else "another process"
        raise WorkspaceError(f"{what} is already under way: {who} holds {file}") from error
    try:
        holder.unlink(missing_ok=True)  # it may be another account's, and not to be written to
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        lock.release()


def threads_per_process(local_processes: int = 1) -> int:
    """Return how many threads each of `local_processes` on this host may use: at least one.

    In a container or under `taskset` a process may use fewer cores than the machine has.
    """
    available = getattr(os, "sched_getaffinity", None)  # Linux only
    cores = len(available(0)) if available else os.cpu_count() or 1
    return max(1, cores // local_processes)


def require_free(folder: Path, needed_bytes: int, purpose: str) -> None:
    """Check that the disk of `folder` has room for `needed_bytes`.

    Args:
        folder: An existing folder on the disk in question.
        needed_bytes: How much is about to be written.
        purpose: Ends the message, e.g. "to decode 70,000 images".

    Raises:
        WorkspaceError: It has not.
    """
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise WorkspaceError(f"{folder}: {free / _GIB:.2f} GiB free, {needed_bytes / _GIB:.2f} GiB needed {purpose}")
