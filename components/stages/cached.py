"""Cached: what goes of all that a machine keeps to save time: copies, decoded pixels, compiled code, old trainings."""

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from stat import S_ISREG

from components.artifacts import Store
from components.artifacts.artifact import digests_in
from components.artifacts.collecting import Fate, Retention, collect
from components.artifacts.files import remove_folder
from components.artifacts.streaming import HELD
from components.workspace import Workspace, WorkspaceError

_UNSENT = ".*.unsent"
_SUFFIX = ".pixels"
_UNUSED, _ABANDONED = "not used in these days", "not continued in these days"


def cached(
    workspace: Workspace, used: Mapping[str, str], retention: Retention, *, delete: bool, now: float | None = None
) -> Iterator[Fate]:
    """Yield what becomes of what lies in a machine's cache and of trainings that were begun there, as it is done.

    Args:
        workspace: The machine's.
        used: Why artifacts are needed, by digest, as the store says.
        retention: How long what is not in use stays.
        delete: Whether to delete, or only to look.
        now: Seconds since 1970; None is this moment.
    """
    import_module("components.evaluation.neighbours")  # what a cache keeps besides copies is known once it is imported
    now = time.time() if now is None else now
    since = retention.since(now)
    unsent = {path.name.split(".")[1]: "not sent to the store yet" for path in workspace.cache.glob(f"*/{_UNSENT}")}
    for fate in collect(Store(workspace.cache), lambda: {**used, **unsent}, retention, delete=delete, now=now):
        yield fate.model_copy(update={"what": f"cached {fate.what}"})
    for path in sorted(workspace.cache.glob(f"*{_SUFFIX}")):
        why = next((used[digest] for digest in digests_in(path.name) if digest in used), None)
        yield _decided("decoded pixels", path, why, since, delete=delete)
    for path in sorted((workspace.cache / HELD).glob("[!.]*")):
        yield _decided("tar of a data version", path, None, since, delete=delete)
    for path in sorted((workspace.cache / "models").glob("[!.]*")):
        yield _decided("copy of a model", path, used.get(path.name), since, delete=delete)
    yield from _trainings(workspace, used, since, delete=delete)
    if not _is_training(workspace):
        for path in sorted((workspace.cache / "compiled").glob("*/*")):
            yield _decided("compiled code", path, None, since, delete=delete)


def _trainings(workspace: Workspace, used: Mapping[str, str], since: float, *, delete: bool) -> Iterator[Fate]:
    for path in sorted(workspace.training.glob("[!.]*")):
        try:
            with workspace.training_lock(path.name):
                yield _decided("training", path, used.get(path.name), since, delete=delete, unused=_ABANDONED)
        except WorkspaceError as error:
            yield Fate(
                what="training", name=path.name, bytes=_size_and_last_use(path)[0], becomes="kept", why=str(error)
            )


def _is_training(workspace: Workspace) -> bool:
    for path in workspace.training.glob("[!.]*"):
        try:
            with workspace.training_lock(path.name):
                continue
        except WorkspaceError:
            return True
    return False


def _decided(what: str, path: Path, why: str | None, since: float, *, delete: bool, unused: str = _UNUSED) -> Fate:
    """Return what becomes of a file or folder that can be made again; what was read or written lately stays."""
    size, last = _size_and_last_use(path)
    if why is not None or last > since:
        return Fate(what=what, name=path.name, bytes=size, becomes="kept", why=why or "used in these days")
    if delete:
        remove_folder(path) if path.is_dir() else path.unlink(missing_ok=True)
    return Fate(what=what, name=path.name, bytes=size, becomes="deleted" if delete else "unneeded", why=unused)


def _size_and_last_use(path: Path) -> tuple[int, float]:
    """Return the bytes of a file, or of all in a folder, and when any of it was read or written last."""
    size, last = 0, 0.0
    for one in (path, *path.rglob("*")):
        with suppress(FileNotFoundError):  # gone meanwhile
            there = one.stat()
            size += there.st_size if S_ISREG(there.st_mode) else 0
            last = max(last, there.st_mtime, there.st_atime if S_ISREG(there.st_mode) else 0.0)
    return size, last
