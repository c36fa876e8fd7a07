"""Collecting: from what a store keeps and what is in use to what becomes of each artifact, and doing it.

What nothing needs is marked; what was marked a while ago, and still nothing needs, is deleted. So whoever found an
artifact before it was marked has that while to be seen with it, and whoever finds it afterwards takes the mark off.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any, Literal

from pydantic import Field

from components.artifacts.reach import Kept, manifests_of, reach, survey
from components.artifacts.store import Store
from components.artifacts.trash import Trash
from components.section import Section

_DAY_S, _HOUR_S = 86_400.0, 3_600.0
_LONGEST_UPLOAD_S = _DAY_S
_NOTHING = "nothing needs it"

Roots = Callable[[], Mapping[str, str]]
"""Asks what is in use now, by digest, and why."""


class Retention(Section):
    """How long what is not in use is kept all the same."""

    keep_days: float = Field(default=30.0, ge=0)
    """What was made within so many days stays, and so does what runs of these days name."""
    grace_hours: float = Field(default=20.0, ge=0)
    """What nothing needs is deleted when it was marked so long ago: at 20, by the next of daily calls. With 0 it goes
    at once, which is safe only while nothing runs."""

    def since(self, now: float) -> float:
        """Return from when on everything stays, in seconds since 1970."""
        return now - max(self.keep_days * _DAY_S, self.grace_s)

    @property
    def grace_s(self) -> float:
        """The time between mark and deletion, in seconds."""
        return self.grace_hours * _HOUR_S


class Fate(Section):
    """What becomes of one thing."""

    what: str
    """Its kind, such as "checkpoint"."""
    name: str
    """Which one."""
    bytes: int
    becomes: Literal["kept", "unneeded", "marked", "deleted"]
    """unneeded: would be marked; marked: will be deleted once it has been marked for long enough."""
    why: str


def collect(
    store: Store, roots: Roots, retention: Retention, *, delete: bool, now: float | None = None
) -> Iterator[Fate]:
    """Yield what becomes of each artifact, as it is done.

    Args:
        store: Where the artifacts are.
        roots: What is in use. It is asked again after everything was marked, and before anything is deleted.
        retention: How long what is not in use stays.
        delete: Whether to mark and to delete, or only to look.
        now: Seconds since 1970; None is this moment.

    Raises:
        StorageError: The store cannot be reached; the next call goes on from there.
    """
    now, trash = time.time() if now is None else now, Trash(store.storage)
    kept = survey(store)
    manifests, since = manifests_of(store, kept), retention.since(now)
    needed = reach(kept, manifests, _with_young(roots(), kept, since))
    marks = trash.marks()
    for digest, why in needed.items():
        if delete and (name := kept[digest].name) in marks:
            trash.keep(name, partial(store.discard, name))
        yield _fate(kept[digest], "kept", why)
    unneeded = [one for one in kept.values() if one.digest not in needed]
    if not delete:
        yield from (_fate(one, "marked" if one.name in marks else "unneeded", _NOTHING) for one in unneeded)
        return
    for one in unneeded:
        if one.name not in marks:
            trash.mark(one.name)
    if retention.grace_s:
        due = {name: one for name, one in marks.items() if now - one.at >= retention.grace_s}
    else:
        due = trash.marks()
    needed = reach(kept, manifests, _with_young(roots(), kept, since)) if due else {}
    for one in unneeded:
        is_due = one.name in due and one.digest not in needed and trash.claim(one.name, due[one.name])
        if is_due:
            store.discard(one.name)
            trash.done(one.name)
        yield _fate(one, "deleted" if is_due else "marked", _NOTHING)
    _tidy(store, trash, {one.name for one in kept.values()}, now)


def _with_young(roots: Mapping[str, str], kept: Mapping[str, Kept], since: float) -> dict[str, str]:
    young = {digest: "made in these days" for digest, one in kept.items() if one.at > since}
    return {**young, **roots}


def _tidy(store: Store, trash: Trash, there: Collection[str], now: float) -> None:
    """Remove what killed collectors and writers left: marks of what is gone, unfinished drafts and uploads."""
    for name, mark in trash.marks().items():
        if name not in there and trash.claim(name, mark):
            store.discard(name)
            trash.done(name)
    trash.tidy()
    store.storage.remove_unfinished(now - _LONGEST_UPLOAD_S)


def _fate(one: Kept, becomes: Any, why: str) -> Fate:  # noqa: ANN401 - one of Fate's own words
    return Fate(what=one.folder, name=one.digest, bytes=one.bytes, becomes=becomes, why=why)
