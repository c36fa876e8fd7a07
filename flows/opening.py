"""Opening: from a configuration to the place where its run happens, and from its data to the night it is."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from prefect.runtime import flow_run

from components.artifacts import Store
from components.artifacts.records import Records
from components.config import RunConfig
from components.data import ShardSet
from components.launch import LaunchFailed
from components.logs.lines import about
from components.section import digest_of
from components.servers.patience import patient_run
from components.stages.budget import Budget, BudgetSpent
from components.stages.candidate import Candidate, Data
from components.stages.diary import Diary
from components.stages.inputs import training_inputs
from components.stages.nights import night_of, record_skipped, tracked_night
from components.stages.publish import list_skipped
from components.stages.site import Site
from components.tracking import runs
from components.tracking.ledger import LedgerError
from components.tracking.packaging import AlteredModelError
from components.tracking.registry import ChampionMovedError
from components.workspace import Workspace
from flows import naming, news
from flows.server_guard import guard_server
from flows.side_by_side import models_at_once, side_by_side
from flows.watching import watcher

_OF_ONE_MODEL = (LaunchFailed, LedgerError, AlteredModelError, ChampionMovedError, BudgetSpent)
"""What says nothing about the other models of a run. A mistake in the configuration does, and so does any other stop
than for the night's budget, after which what is trained is judged all the same."""

_log = logging.getLogger(__name__)


@dataclass
class Opened:
    """A run under way: what it is, where it happens, which of its models failed, and the page of the others."""

    run: RunConfig
    site: Site
    reason: str
    stack: ExitStack
    failed: dict[str, RuntimeError] = field(default_factory=dict)
    page: str | None = None
    _diary: Diary | None = None

    def begin(self, shard: Callable[[RunConfig, Site], ShardSet]) -> ShardSet:
        """Return the night's shards, and give the flow run the night's name.

        A run that is continued stays with the data it began with, though the pile has grown since: so its training goes
        on and is not begun anew.
        """
        if (shards := self._begun_with()) is None:
            shards = shard(self.run, self.site)
            if identity := flow_run.id:
                fact = {"shards": shards.digest, "reason": self.reason}
                self._records(identity).append(fact, same=lambda known: known["shards"] == fact["shards"])
        night = night_of(self.run, shards, self.reason, self.site)
        naming.rename(night.title)
        self.site = replace(self.site, night=night)
        self._diary = Diary(self.run, shards, self.site.store, night.title)
        return shards

    def skipped(self) -> str | None:
        """Return why the night is skipped, which diary, tracker and index of pages say from now on, or None."""
        why = self.diary.why_skip()
        if why is not None:
            self.diary.skip(why)
            record_skipped(why, self.run, self.site, self._tags)
            list_skipped(self.run.name, self.site)
            news.tell_skipped(why, self.run.name, self.site)
        return why

    def track(self) -> None:
        """Open the night's run in the tracker until the end; one that ran before is opened again."""
        self.site = self.stack.enter_context(tracked_night(self.run, self.site, self._tags))

    def finish(self, data: Data) -> None:
        """Note in the diary that the night is over, if all its models were judged."""
        if not self.failed:
            self.diary.finish(data)

    @property
    def diary(self) -> Diary:
        """What became of this night and of those before it.

        Raises:
            RuntimeError: It is not known yet which night it is.
        """
        if self._diary is None:
            raise RuntimeError("the night's data is not there yet: begin comes first")
        return self._diary

    @property
    def _tags(self) -> dict[str, str]:
        return {"kintsugi.flow_run": flow_run.id or "", "kintsugi.flow_url": flow_run.ui_url or ""}

    def _begun_with(self) -> ShardSet | None:
        """Return the shards that this flow run began with before it was interrupted, if the store still has them."""
        records = self._records(flow_run.id).all() if flow_run.id else []
        kept = (self.site.store.by_digest(ShardSet, record["shards"]) for record in records)
        return next((shards for shards in kept if shards is not None), None)

    def _records(self, identity: str) -> Records:
        return self.site.store.records(f"nights/{identity}")

    def each(self, data: Data, do: Callable[[Candidate, Site], Candidate]) -> list[Candidate]:
        """Return every model after `do`, several of them side by side where the host's processors allow it.

        One that fails does not keep the others waiting: it comes back as it was, with the reason.

        Raises:
            LaunchFailed: No model is left.
            BudgetSpent: Likewise, and all for want of budget.
        """
        at_once, asked = models_at_once(self.run), threading.Event()
        budget = replace(Budget.of(self.run, data), at_once=at_once)
        site = replace(self.site, at_once=at_once, budget=budget, asked=asked if at_once > 1 else None)
        lanes = self._lanes(data)
        jobs = [partial(self._tried, do, lane, site) for lane in lanes]
        done = side_by_side(jobs, at_once, asked) if at_once > 1 else [job() for job in jobs]
        models = {one.name: one for lane in done for one in lane}
        if len(self.failed) == len(models):
            raise self.failure()
        return [models[name] for name in self.run.models]

    def _lanes(self, data: Data) -> list[list[Candidate]]:
        """Return the models apart, but those that are one training together, for that is done once."""
        lanes: dict[str, list[Candidate]] = {}
        for name, config in self.run.models.items():
            candidate = Candidate(name, config)
            lanes.setdefault(digest_of(training_inputs(candidate, data)), []).append(candidate)
        return list(lanes.values())

    def _tried(self, do: Callable[[Candidate, Site], Candidate], lane: list[Candidate], site: Site) -> list[Candidate]:
        return [self._tried_one(do, candidate, site) for candidate in lane]

    def _tried_one(self, do: Callable[[Candidate, Site], Candidate], candidate: Candidate, site: Site) -> Candidate:
        try:
            with about(model=candidate.name):
                return do(candidate, site)
        except _OF_ONE_MODEL as error:
            _log.error("%s failed: %s", candidate.name, error)
            self.failed[candidate.name] = error
            news.tell_failure(candidate.name, error, site)
            return replace(candidate, failure=str(error))

    def failure(self) -> news.ModelsFailed | BudgetSpent:
        """Return one error that names every model that got no further, and says where to look at the others."""
        words = "\n".join(f"{name}: {self.failed[name]}" for name in self.run.models if name in self.failed)
        if self.page is not None:
            words += f"\nThe other models went on; page: {self.page}"
        if all(isinstance(error, BudgetSpent) for error in self.failed.values()):
            return BudgetSpent(words)
        stacks = [error.traceback for error in self.failed.values() if isinstance(error, LaunchFailed)]
        return news.ModelsFailed(words, "\n".join(stacks))


@contextmanager
def opened(run: RunConfig, reason: str) -> Iterator[Opened]:
    """Yield the run at its site; what it opened in the tracker ends with the block.

    Raises:
        LaunchFailed: A model failed; raised at the end, after all that the others could do was done.
        BudgetSpent: Likewise, and nothing failed but for want of budget.
    """
    with ExitStack() as stack:
        guard_server()
        stack.enter_context(patient_run())
        workspace = Workspace.from_environment().create()
        store = Store.open(run.store or workspace.default_store, workspace.cache, run.streaming_cache)
        store.remove_drafts()
        uri = runs.configure(workspace.home)
        naming.show_logs()
        naming.rename(f"{run.name} · {reason}")
        stack.enter_context(about(run=run.name))
        site = Site(workspace, store, uri, run.name, progress=watcher.get(), executor=run.executor)
        here = Opened(run, site, reason, stack)
        yield here
        if here.failed:
            raise here.failure()
