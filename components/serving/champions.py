"""Champions: which version of each model is in service by the ledger, and its network in memory, swapped when whole."""

import asyncio
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from components.pictures.provenance import Maker
from components.recipes.export import export_digest, load_producer
from components.recipes.recipe import Producer
from components.serving.background import Refresher, in_thread
from components.serving.refusal import Refusal
from components.tracking import watching
from components.tracking.ledger import LedgerError
from components.tracking.packaging import AlteredModelError
from components.tracking.standing import ModelRecord
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

    @property
    def maker(self) -> Maker:
        """What its pictures say of where they come from. Only the answer's head says when: equal ones stay equal."""
        return Maker(self.name, self.version, self.export, dated=False)


@dataclass(frozen=True)
class _Failure:
    version: int
    at: float
    words: str


class Champions:
    """The models of the registry. Only a version whose files were checked is loaded, and one per name is kept."""

    def __init__(self, workspace: Workspace, versions: Mapping[str, int] | None = None) -> None:
        """Prepare; nothing is asked before the first request.

        Args:
            workspace: Where copies of models are kept.
            versions: Versions to serve instead of the champion, by name or its last part.
        """
        self._workspace = workspace
        self._versions = dict(versions or {})
        self._registered = watching.Registered()
        self._loaded: dict[str, Champion] = {}
        self._failed: dict[str, _Failure] = {}
        self._loading = threading.Lock()
        self._configured = False
        self.refresher = Refresher("models", self._look, (RegistryAwayError,))

    async def records(self) -> tuple[ModelRecord, ...]:
        """Return what is worth saying of every model, at most about two seconds old while the registry answers."""
        await self.refresher.fresh()
        return self._registered.models

    def problem(self, name: str) -> str | None:
        """Return why the version in service of a model cannot be served now; None if nothing is known against it."""
        failure = self._failed.get(name)
        return failure.words if failure else None

    async def get(self, model: str) -> Champion:
        """Return the version in service of the model with this name or last part of a name.

        Raises:
            Refusal: There is no such model, it has no champion, or none that may be loaded.
        """
        record = self._resolve(model, await self.records())
        wanted = self._wanted(record)
        if wanted is None:
            raise Refusal(404, f"{record.name} has no champion yet")
        if record.name not in self._loaded:
            await asyncio.shield(in_thread(lambda: self._load(record.name, wanted)))
        champion = self._loaded.get(record.name)
        if champion is None:
            raise Refusal(503, self.problem(record.name) or f"{record.name} cannot be loaded", retry_after_s=10)
        return champion

    def _resolve(self, model: str, records: tuple[ModelRecord, ...]) -> ModelRecord:
        distrusted = self._registered.distrusted
        named = [name for name in distrusted if name == model or name.endswith(f"-{model}")]
        try:
            return watching.resolve(records, model)
        except ValueError as error:
            if not self.refresher.seen:
                raise Refusal(503, "the registry has not answered yet; try again", retry_after_s=5) from error
            if named:
                raise Refusal(503, f"the promotion ledger of {named[0]} cannot be trusted") from error
            raise Refusal(404, str(error)) from error

    def _wanted(self, record: ModelRecord) -> int | None:
        stated = [version for name, version in self._versions.items() if _is_called(record.name, name)]
        return stated[0] if stated else record.champion

    def _look(self) -> None:
        if not self._configured:
            watching.watch(self._workspace.home)
            self._configured = True
        found = watching.look()
        for name, words in found.distrusted.items():
            if name not in self._registered.distrusted:
                _log.warning("%s", words)
        kept = tuple(record for record in self._registered.models if record.name in found.distrusted)
        known = watching.Registered(
            tuple(sorted((*found.models, *kept), key=lambda record: record.name)), found.distrusted
        )
        for record in found.models:
            wanted = self._wanted(record)
            if record.name in self._loaded and wanted is not None and self._loaded[record.name].version != wanted:
                self._load(record.name, wanted)
        for name in self._loaded.keys() - {record.name for record in known.models}:
            del self._loaded[name]
        self._registered = known

    def _load(self, name: str, version: int) -> None:
        """Put a version in place of the one in memory, unless it cannot be trusted or loaded: then that one stays."""
        with self._loading:
            current, failure = self._loaded.get(name), self._failed.get(name)
            if current is not None and current.version == version:
                return
            if failure is not None and failure.version == version and time.monotonic() - failure.at < _AGAIN_S:
                return
            words = self._attempt(name, version)
            if words is None:
                self._failed.pop(name, None)
            else:
                self._failed[name] = _Failure(version, time.monotonic(), words)

    def _attempt(self, name: str, version: int) -> str | None:
        """Load a version; return why it cannot be loaded, if so, and tell the log the details."""
        place = self._workspace.cache / "models" / f"{name}-{version}"
        try:
            delivery = watching.fetch(name, version, place)
            self._loaded[name] = Champion(name, version, load_producer(delivery.export), export_digest(delivery.export))
        except AlteredModelError as error:
            return self._told(name, f"version {version} of {name} is not what was registered, and is not served", error)
        except RegistryAwayError as error:
            return self._told(name, f"version {version} of {name} cannot be fetched now", error)
        except (LedgerError, WorkspaceError, ValueError, OSError) as error:
            return self._told(name, f"version {version} of {name} cannot be loaded; the service's log says why", error)
        return None

    def _told(self, name: str, words: str, details: Exception) -> str:
        if name not in self._failed:
            _log.warning("%s: %s", words, details)
        return words


def _is_called(name: str, stated: str) -> bool:
    return name == stated or name.endswith(f"-{stated}")
