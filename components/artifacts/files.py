"""Local files that are whole or not there, even after a power cut, and are what they were."""

import glob
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

DRAFT = ".part"
"""Ends the names of what is being written."""


@dataclass(frozen=True)
class Stat:
    """What a store says of one content without its bytes being read."""

    size: int
    """Length in bytes."""
    sha256: str | None
    """The digest recorded when it was written; None if none was."""
    at: float = field(default=0.0, compare=False)
    """When it was written, in seconds since 1970, by the clock of whoever keeps it."""


@dataclass(frozen=True)
class Listed:
    """One content, as a listing of a store says it."""

    key: str
    size: int
    """Length in bytes."""
    at: float
    """When it was written, as in `Stat`."""


@dataclass(frozen=True, slots=True)
class Listing:
    """An object of a bucket as it was when it was listed, whoever wrote it."""

    name: str
    """Its key below the prefix, which may be anything."""
    size: int
    """Length in bytes."""
    etag: str
    """The store's own mark of its bytes, which changes with them."""


class StorageError(OSError):
    """A store refused, is unreachable, or gave back other bytes than it was given; names the file or object."""


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new one, never a part, even after a power cut."""
    with draft_file(path) as draft:
        draft.write_bytes(content)


@contextmanager
def draft_file(path: Path) -> Iterator[Path]:
    """Give a draft beside `path` to fill; it takes the place of `path` at the end, or vanishes after an error."""
    draft = draft_of(path)
    try:
        yield draft
        sync_file(draft)
        draft.replace(path)
        sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def draft_folder(path: Path) -> Iterator[Path]:
    """Give an empty draft folder beside `path` to fill, likewise. What was at `path` goes."""
    draft = draft_of(path)
    draft.mkdir()
    try:
        yield draft
        for file in draft.iterdir():
            sync_file(file)
        sync_folder(draft)
        remove_folder(path)
        draft.rename(path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Delete a folder, if it is there, so that a kill on the way leaves a draft and not a torn folder."""
    if path.exists():
        doomed = draft_of(path)
        path.rename(doomed)
        shutil.rmtree(doomed)


def draft_of(path: Path) -> Path:
    """Return a new name beside `path` for what is to become `path`."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{DRAFT}")


def unsent_of(path: Path) -> Path:
    """Return the name of an empty file beside `path` that says: the shared store may not have it yet."""
    return path.with_name(f".{path.name}.unsent")


def remove_drafts(path: Path) -> None:
    """Delete what writers of `path` left that were killed; there must be no other writer now."""
    for draft in path.parent.glob(f".{glob.escape(path.name)}.*{DRAFT}"):
        draft.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Make a file's bytes durable."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy_checked(source: Path, target: Path, sha256: str | None) -> None:
    """Copy a file; the copy appears when its sha256 is the expected one, or the source's own if None is expected."""
    with draft_file(target) as draft:
        shutil.copyfile(source, draft)
        check_sha256(draft, sha256 or sha256_of(source), str(source))


def check_sha256(path: Path, expected: str, name: str) -> None:
    """Raise StorageError unless the file at `path`, which came from `name`, has the expected digest."""
    if (found := sha256_of(path)) != expected:
        raise StorageError(f"{name}: its sha256 is {found[:12]}…, expected {expected[:12]}…")


def checked_key(key: str) -> str:
    """Return `key` if it stays inside its storage.

    Raises:
        ValueError: It is empty, absolute, or has a "." or ".." part.
    """
    if not key or any(part in {"", ".", ".."} for part in key.split("/")) or "\\" in key or "\0" in key:
        raise ValueError(f"{key!r}: expected a relative path with '/' and without '..'")
    return key
