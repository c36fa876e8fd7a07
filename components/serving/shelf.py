"""Shelf: versions of models in memory, each checked before: those in service, and a few others that were asked for."""

import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime

from components.pictures.provenance import Maker
from components.recipes.export import export_digest, load_producer, read_card
from components.recipes.recipe import Producer
from components.serving.gathering import gathered
from components.serving.measuring import Measures
from components.tracking import watching
from components.tracking.ledger import LedgerError
from components.tracking.packaging import AlteredModelError
from components.tracking.watching import RegistryAwayError
from components.workspace import Workspace, WorkspaceError

_log = logging.getLogger(__name__)
_AGAIN_S = 10.0
"""A version that could not be loaded is not tried again sooner."""


@dataclass(frozen=True)
class Champion:
    """A version in memory. Requests that began with it end with it, whatever is promoted meanwhile."""

    name: str
    version: int
    producer: Producer
    export: str = ""
    """Digest of its files."""
    size_px: int = 0
    """Side of the squares that it learnt on."""
    images: int = 0
    """Seen in training."""
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    """When it came into this memory."""

    @property
    def maker(self) -> Maker:
        """What its pictures say of where they come from. Only the answer's head says when: equal ones stay equal."""
        return Maker(self.name, self.version, self.export, dated=False)


@dataclass(frozen=True)
class _Failure:
    at: float
    words: str


class Shelf:
    """Holds one version per model in service, and the `most` others that were asked for last."""

    def __init__(self, workspace: Workspace, measures: Measures, most: int) -> None:
        self._workspace, self._measures, self._most = workspace, measures, most
        self._others: OrderedDict[tuple[str, int], Champion] = OrderedDict()
        self._failed: dict[tuple[str, int], _Failure] = {}
        self._loading = threading.Lock()
        self.in_service: dict[str, Champion] = {}
        """The versions that answer when none is named, by model."""

    def find(self, name: str, version: int) -> Champion | None:
        """Return a version if it is in memory."""
        current = self.in_service.get(name)
        return current if current is not None and current.version == version else self._others.get((name, version))

    def problem(self, name: str, version: int) -> str | None:
        """Return why a version could not be loaded when that was last tried; None if nothing is known against it."""
        failure = self._failed.get((name, version))
        return failure.words if failure else None

    def put_in_service(self, name: str, version: int) -> None:
        """Let `name` be answered by a version, once that is whole; if it cannot be, the one before stays. Blocks."""
        with self._loading:
            champion = self._found_or_loaded(name, version)
            if champion is not None and self.in_service.get(name) is not champion:
                self.in_service[name] = champion
                self._measures.in_service(name, champion.version, champion.since)

    def take(self, name: str, version: int) -> Champion | None:
        """Return a version, loaded if need be; None if it cannot be, and `problem` says why. Blocks."""
        with self._loading:
            champion = self._found_or_loaded(name, version)
            if champion is not None and self.in_service.get(name) is not champion:
                self._others[name, version] = champion
                self._others.move_to_end((name, version))
                while len(self._others) > self._most:
                    self._others.popitem(last=False)
            return champion

    def keep_only(self, names: frozenset[str]) -> None:
        """Let go of models of other names."""
        for name in self.in_service.keys() - names:
            del self.in_service[name]
            self._measures.out_of_service(name)

    def _found_or_loaded(self, name: str, version: int) -> Champion | None:
        if (found := self.find(name, version)) is not None:
            return found
        failure = self._failed.get((name, version))
        if failure is not None and time.monotonic() - failure.at < _AGAIN_S:
            return None
        outcome = self._attempt(name, version)
        if isinstance(outcome, Champion):
            self._failed.pop((name, version), None)
            return outcome
        self._failed[name, version] = _Failure(time.monotonic(), outcome)
        return None

    def _attempt(self, name: str, version: int) -> Champion | str:
        """Load a version; or return why it cannot be loaded, and tell the log the details."""
        place = self._workspace.cache / "models" / f"{name}-{version}"
        try:
            export = watching.fetch(name, version, place).export
            card, producer = read_card(export), gathered(load_producer(export), self._measures)
            return Champion(name, version, producer, export_digest(export), card.size, card.images)
        except AlteredModelError as error:
            return self._told(name, version, "is not what was registered, and is not served", error)
        except RegistryAwayError as error:
            return self._told(name, version, "cannot be fetched now", error)
        except (LedgerError, WorkspaceError, ValueError, OSError) as error:
            return self._told(name, version, "cannot be loaded; the service's log says why", error)

    def _told(self, name: str, version: int, words: str, details: Exception) -> str:
        words = f"version {version} of {name} {words}"
        if (name, version) not in self._failed:
            _log.warning("%s: %s", words, details)
        return words
