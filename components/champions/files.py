"""Files that people name: pictures read, and written whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.artifacts.files import draft_file
from components.pictures.formats import Format, format_of


def read(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        ValueError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error


def demand_target(path: Path) -> Format:
    """Return the format of the picture that is to be written at `path`, before any work is done for it.

    Raises:
        ValueError: No picture can be written there.
    """
    form = format_of(path)
    if path.is_dir():
        raise ValueError(f"{path}: a folder, expected the name of a file")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: there is no folder {path.parent}")
    if not os.access(path.resolve().parent, os.W_OK):
        raise ValueError(f"{path}: cannot be written (no permission in its folder)")
    return form


class UnwritableError(ValueError):
    """A file cannot be written: no room, no permission, no such place."""


@contextmanager
def drafted(path: Path) -> Iterator[Path]:
    """Give a draft to write; it takes the place of `path` whole or not at all, and until then all stays as it was.

    Raises:
        UnwritableError: It cannot be written.
    """
    target = path.resolve()  # what a link points to, so that the link stays one
    try:
        with draft_file(target) as draft:
            yield draft
            if target.exists():
                shutil.copymode(target, draft)
    except OSError as error:
        raise UnwritableError(f"{path}: cannot be written ({error.strerror})") from error


def save(content: bytes, path: Path) -> None:
    """Write a file whole or not at all.

    Raises:
        UnwritableError: It cannot be written.
    """
    with drafted(path) as draft:
        draft.write_bytes(content)


def make_folder(path: Path) -> None:
    """Make a folder, with those above it.

    Raises:
        UnwritableError: It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnwritableError(f"{path}: cannot be made a folder ({error.strerror})") from error
