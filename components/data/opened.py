"""Opened: the tars of a split, to be read at any place: on this machine, or fetched from the store when needed."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from components.artifacts import ArtifactError
from components.artifacts.held import HeldFile
from components.artifacts.streaming import AbsentFiles
from components.data.shardset import ShardFacts, ShardSet


class Tar(Protocol):
    """A tar that is open."""

    @property
    def name(self) -> str:
        """What it is called should it be damaged."""

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes of it."""

    def file(self) -> io.BufferedIOBase:
        """Return it as a file, to be closed by the caller."""


class LocalTars:
    """Tars that lie on this machine."""

    def __init__(self, shards: ShardSet, split: str) -> None:
        """Compare their sizes with the manifest.

        Raises:
            ArtifactError: One is missing or of another size.
        """
        facts = shards.splits[split].shards
        self._paths = [shards.tar(shard) for shard in facts]
        for path, shard in zip(self._paths, facts, strict=True):
            found = path.stat().st_size if path.is_file() else None
            if found != shard.bytes:
                raise ArtifactError(f"{path}: {found or 'no'} bytes, the manifest says {shard.bytes}")

    @contextmanager
    def opened(self, number: int) -> Iterator[Tar]:
        """Yield one of them, open for the block."""
        path = self._paths[number]
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield _Local(path, descriptor)
        finally:
            os.close(descriptor)


class StreamedTars:
    """Tars in a shared store, of which this machine holds as many as it may."""

    def __init__(self, shards: ShardSet, split: str, absent: AbsentFiles) -> None:
        self._facts, self._absent = shards.splits[split].shards, absent

    @contextmanager
    def opened(self, number: int) -> Iterator[Tar]:
        """Yield one of them, fetched if need be; where all that may be held is in use, it is read in the store."""
        held = self.hold(number)
        if held is None:
            yield _Remote(self._facts[number], self._absent)
            return
        with held:
            yield _Local(held.path, held)

    def hold(self, number: int) -> HeldFile | None:
        """Return one of them, fetched if need be, which stays here until it is released; None if there is no room.

        Raises:
            StorageError: The store is away for too long, refuses, or gives other bytes.
            FileNotFoundError: The store lacks it.
        """
        shard = self._facts[number]
        return self._absent.hold(shard.name, shard.sha256, shard.bytes, shard.holder)


@dataclass(frozen=True)
class _Local:
    path: Path
    opened: HeldFile | int

    @property
    def name(self) -> str:
        return str(self.path)

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self.opened, size, offset) if isinstance(self.opened, int) else self.opened.read(offset, size)

    def file(self) -> io.BufferedIOBase:
        return self.path.open("rb")


@dataclass(frozen=True)
class _Remote:
    facts: ShardFacts
    absent: AbsentFiles

    @property
    def name(self) -> str:
        return self.facts.name

    def read(self, offset: int, size: int) -> bytes:
        return self.absent.read(self.facts.name, self.facts.sha256, offset, offset + size, self.facts.holder)

    def file(self) -> io.BufferedIOBase:
        return io.BytesIO(self.read(0, self.facts.bytes))


def tars_of(shards: ShardSet, split: str) -> LocalTars | StreamedTars:
    """Return the tars of a split, wherever they are.

    Raises:
        ArtifactError: One that should be here is missing, or of another size than the manifest says.
    """
    absent = AbsentFiles.of(shards)
    return LocalTars(shards, split) if absent is None else StreamedTars(shards, split, absent)
