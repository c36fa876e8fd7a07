"""Champions: which version of each model is in service by the ledger, and its network in memory, swapped when whole."""

import asyncio
import logging
import threading
from collections.abc import Mapping

from components.serving.background import Refresher, in_thread
from components.serving.measuring import Measures
from components.serving.refusal import Refusal
from components.serving.shelf import Champion, Shelf
from components.tracking import watching
from components.tracking.standing import ModelRecord, VersionRecord
from components.tracking.watching import RegistryAwayError
from components.workspace import Workspace

_log = logging.getLogger(__name__)
_PEEK_EVERY_S, _PEEK_STALE_S = 0.5, 1.5
_REST_EVERY_S = 10.0
"""While only models in service are asked, whose ledgers are looked at anyway, the rest of the registry can wait."""
_MOST_OTHERS = 4


class Champions:
    """The models of the registry. Only a version whose files were checked is loaded."""

    def __init__(
        self,
        workspace: Workspace,
        versions: Mapping[str, int] | None = None,
        *,
        measures: Measures | None = None,
        others: int = _MOST_OTHERS,
    ) -> None:
        """Prepare; nothing is asked before the first request.

        Args:
            workspace: Where copies of models are kept.
            versions: Versions to serve instead of the champion, by name or its last part.
            measures: Where it is counted which versions are in service; None counts for nobody.
            others: How many versions that are not in service are kept in memory.
        """
        self._workspace = workspace
        self._versions = dict(versions or {})
        self._registered = watching.Registered()
        self._looking = threading.Lock()
        self._configured = False
        self.measures = measures or Measures()
        self.shelf = Shelf(workspace, self.measures, others)
        away = (RegistryAwayError,)
        self.refresher = Refresher("models", self._look, away)
        self._peeker = Refresher("champions", self._peek, away, every_s=_PEEK_EVERY_S, stale_s=_PEEK_STALE_S)

    async def records(self) -> tuple[ModelRecord, ...]:
        """Return what is worth saying of every model, at most about two seconds old while the registry answers."""
        await self.refresher.fresh()
        return self._registered.models

    def demand_seen(self) -> None:
        """Go on only if the registry was read.

        Raises:
            Refusal: It has not answered yet.
        """
        if not self.refresher.seen:
            raise Refusal(503, "the registry has not answered yet; try again in a moment", retry_after_s=2)

    async def record(self, model: str) -> ModelRecord:
        """Return what is worth saying of the model with this name or last part of a name.

        Raises:
            Refusal: There is no such model, or more than one.
        """
        return self._resolve(model, await self.records())

    def versions(self, name: str) -> tuple[VersionRecord, ...]:
        """Return what is worth saying of the versions of a model, the newest first."""
        return self._registered.versions.get(name, ())

    def problem(self, name: str) -> str | None:
        """Return why the version in service of a model cannot be served now; None if nothing is known against it."""
        record = next((one for one in self._registered.models if one.name == name), None)
        wanted = None if record is None else self._wanted(record)
        return None if wanted is None else self.shelf.problem(name, wanted)

    async def get(self, model: str, version: int | None = None) -> Champion:
        """Return a version of the model with this name or last part of a name, the one in service if none is named.

        Raises:
            Refusal: There is no such model or version, it has no champion, or none that may be loaded.
        """
        record = await self._known(model)
        if version is not None:
            return await self._version(record, version)
        wanted = self._wanted(record)
        if wanted is None:
            raise Refusal(404, f"{record.name} has no champion yet")
        if record.name not in self.shelf.in_service:
            await asyncio.shield(in_thread(lambda: self.shelf.put_in_service(record.name, wanted)))
        champion = self.shelf.in_service.get(record.name)
        if champion is None:
            raise Refusal(503, self.problem(record.name) or f"{record.name} cannot be loaded", retry_after_s=10)
        return champion

    async def _known(self, model: str) -> ModelRecord:
        """Return the record of a model. For one in service only its ledger is waited for, and that not under load."""
        try:
            name = watching.resolve(self._registered.models, model).name
        except ValueError:
            return await self.record(model)
        if name not in self.shelf.in_service:
            return await self.record(model)
        self.refresher.look_again(_REST_EVERY_S)
        await self._peeker.fresh()
        return self._resolve(model, self._registered.models)

    async def _version(self, record: ModelRecord, version: int) -> Champion:
        known = [one.version for one in self.versions(record.name)]
        if version not in known:
            there = ", ".join(map(str, known)) or "none"
            raise Refusal(404, f"{record.name} has no version {version}; there are: {there}")
        taken = self.shelf.find(record.name, version)
        if taken is None:
            taken = await asyncio.shield(in_thread(lambda: self.shelf.take(record.name, version)))
        if taken is None:
            words = self.shelf.problem(record.name, version) or f"version {version} of {record.name} cannot be loaded"
            raise Refusal(503, words, retry_after_s=10)
        return taken

    def _resolve(self, model: str, records: tuple[ModelRecord, ...]) -> ModelRecord:
        distrusted = self._registered.distrusted
        named = [name for name in distrusted if name == model or name.endswith(f"-{model}")]
        try:
            return watching.resolve(records, model)
        except ValueError as error:
            self.demand_seen()
            if named:
                raise Refusal(503, f"the promotion ledger of {named[0]} cannot be trusted") from error
            raise Refusal(404, str(error)) from error

    def _wanted(self, record: ModelRecord) -> int | None:
        stated = [version for name, version in self._versions.items() if _is_called(record.name, name)]
        return stated[0] if stated else record.champion

    def _peek(self) -> None:
        """Look at everything if a champion that is in memory is no longer the ledger's: half a second after that."""
        held = self._registered
        ledgers = {name: held.ledgers[name] for name in self.shelf.in_service.keys() & held.ledgers.keys()}
        before = {record.name: record.champion for record in held.models}
        if any(champion != before.get(name) for name, champion in watching.champions(ledgers).items()):
            self._look()

    def _look(self) -> None:
        with self._looking:
            if not self._configured:
                watching.watch(self._workspace.home)
                self._configured = True
            found, before = watching.look(), self._registered
            for name, words in found.distrusted.items():
                if name not in before.distrusted:
                    _log.warning("%s", words)
            kept = tuple(record for record in before.models if record.name in found.distrusted)
            known = watching.Registered(
                tuple(sorted((*found.models, *kept), key=lambda record: record.name)),
                found.distrusted,
                {**{one.name: before.versions[one.name] for one in kept}, **found.versions},
                found.ledgers,
            )
            for record in found.models:
                if record.champion_since is not None:
                    self.measures.promoted(record.name, record.champion_since)
                wanted = self._wanted(record)
                if record.name in self.shelf.in_service and wanted is not None:
                    self.shelf.put_in_service(record.name, wanted)
            self._registered = known
            self.shelf.keep_only(frozenset(record.name for record in known.models))


def _is_called(name: str, stated: str) -> bool:
    return name == stated or name.endswith(f"-{stated}")
