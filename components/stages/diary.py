"""Diary: which nights of a configuration were begun, finished and skipped, and whether the next one is worth it.

It is kept in the store, so that all machines of a team write into one. What a night is follows from what was asked for
and from its data; one that is interrupted and goes on, even on another day, is the same night.
"""

import logging
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime, ValidationError

from components.artifacts import Store
from components.artifacts.records import Record, Records
from components.config import RunConfig
from components.data import ShardSet, changed
from components.report.index import SkippedNight
from components.section import Section
from components.stages.candidate import Data
from components.stages.nights import run_digest
from components.stages.pinned import in_force

_FOLDER = "diary"
_SPAN = timedelta(days=7)
_log = logging.getLogger(__name__)


class Entry(Section):
    """What became of a night, at one moment."""

    became: Literal["begun", "finished", "skipped"]
    config: str
    """Digest of what was asked for."""
    shards: str
    """Digest of its data."""
    title: str
    """What people call it."""
    judged_on: int | None = None
    """Number of the pinned evaluation set that judged it; None for the held-out images of its own data."""
    why: str = ""
    """Why it was skipped."""
    at: AwareDatetime

    def is_of(self, other: "Entry") -> bool:
        """Whether both are of one night."""
        return (self.config, self.shards) == (other.config, other.shards)


class Diary:
    """What became of the nights of one configuration, oldest first."""

    def __init__(self, run: RunConfig, shards: ShardSet, store: Store, title: str) -> None:
        """Open it at the night that is of `shards` and that people call `title`."""
        self._run, self._shards, self._store = run, shards, store
        self._records = _records(store, run.name)
        self._night = Entry(
            became="begun", config=run_digest(run), shards=shards.digest, title=title, at=datetime.now(UTC)
        )

    def begin(self) -> None:
        """Note that the night trains; once, however often it is begun again."""
        night = self._night
        self._records.append(
            night.model_dump(mode="json"), same=lambda known: known["became"] == "begun" and _read(known).is_of(night)
        )

    def skip(self, why: str) -> None:
        """Note that it does not, and why."""
        self._append({"became": "skipped", "why": why})

    def finish(self, data: Data) -> None:
        """Note that all its models were judged, on what they were; the next night is compared with the last such."""
        pinned = data.yardstick.pinned
        judged_on = None if pinned is None else pinned.number
        last = self._last()
        if last is None or not last.is_of(self._night) or last.judged_on != judged_on:
            self._append({"became": "finished", "judged_on": judged_on})

    def why_skip(self) -> str | None:
        """Return why the night is not worth its cost, by the configuration's `retraining`; None if it is.

        A night that was begun is no attempt more, and goes on.

        Raises:
            ArtifactError: The shards of the pinned evaluation set are gone.
        """
        return self._too_little_new() or self._too_often()

    def _too_little_new(self) -> str | None:
        least, last = self._run.retraining.skip_below, self._last()
        if least is None or last is None or last.config != self._night.config:
            return None
        pinned = in_force(self._run, self._shards, self._store)
        if last.judged_on != (None if pinned is None else pinned.number):
            return None
        earlier = self._shards if last.shards == self._shards.digest else self._store.by_digest(ShardSet, last.shards)
        if earlier is None:
            _log.warning("%s: its shards %s are gone, so nobody knows what changed since", last.title, last.shards)
            return None
        found = changed(earlier, self._shards)
        if found.share >= least:
            return None
        return (
            f"{found.facts} since {last.title} of {last.at:%Y-%m-%d}, less than retraining.skip_below, {least:.2%}; "
            "the configuration is the same"
        )

    def _too_often(self) -> str | None:
        most = self._run.retraining.nights_per_week
        if most is None:
            return None
        since = self._night.at - _SPAN
        begun = [entry for entry in self._entries() if entry.became == "begun"]
        others = [entry for entry in begun if entry.at > since and not entry.is_of(self._night)]
        if len(others) < most or any(entry.is_of(self._night) for entry in begun):
            return None
        free = sorted(entry.at for entry in others)[-most] + _SPAN
        return (
            f"{len(others)} nights were begun within 7 days, retraining.nights_per_week allows {most}; "
            f"the next one may begin at {free:%Y-%m-%d %H:%M} UTC"
        )

    def _append(self, became: dict[str, object]) -> None:
        self._records.append(self._night.model_copy(update=became).model_dump(mode="json"))

    def _last(self) -> Entry | None:
        return next((entry for entry in reversed(self._entries()) if entry.became == "finished"), None)

    def _entries(self) -> list[Entry]:
        return [_read(record) for record in self._records.all()]


def skipped_nights(store: Store, name: str) -> list[SkippedNight]:
    """Return the nights of the configuration `name` that were skipped, oldest first."""
    return _skipped(_read(record) for record in _records(store, name).all())


class SkippedNights:
    """The nights of all configurations of a store that were skipped. Each record is read once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, int] = {}
        self._found: list[SkippedNight] = []

    def look(self) -> list[SkippedNight]:
        """Return those that are known by now; a record that another version of this code wrote is logged and left out.

        Raises:
            StorageError: The store cannot be reached, or a record is not readable.
        """
        for name in self._store.lists(_FOLDER):
            known = self._known.get(name, 0)
            records = _records(self._store, name).all(after=known)
            self._found += _skipped(_understood(records, name))
            self._known[name] = known + len(records)
        return list(self._found)


def _skipped(entries: Iterable[Entry]) -> list[SkippedNight]:
    kept = (entry for entry in entries if entry.became == "skipped")
    return [SkippedNight(title=entry.title, why=entry.why, at=entry.at) for entry in kept]


def _understood(records: Iterable[Record], name: str) -> Iterator[Entry]:
    for record in records:
        try:
            yield _read(record)
        except ValidationError as error:
            _log.warning("diary of %s: a record is left out, it is not one this version reads (%s)", name, error)


def _records(store: Store, name: str) -> Records:
    return store.records(f"{_FOLDER}/{name}")


def _read(record: object) -> Entry:
    return Entry.model_validate(record)
