"""Opening: from a configuration to the place where its run happens, and from its data to the night it is."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from prefect.runtime import flow_run

from components.artifacts import Store
from components.config import RunConfig
from components.data import ShardSet
from components.launch import LaunchFailed
from components.servers.patience import patient_run
from components.stages.night import Night
from components.stages.nights import night_of, tracked_night
from components.stages.site import Site
from components.tracking import runs
from components.workspace import Workspace
from flows import naming
from flows.watching import watcher

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


@dataclass
class Opened:
    """A run under way: what it is, where it happens, which of its models failed, and the page of the others."""

    run: RunConfig
    site: Site
    reason: str
    stack: ExitStack
    failed: dict[str, LaunchFailed] = field(default_factory=dict)
    page: str | None = None

    def shards(self, make: Callable[[], ShardSet]) -> ShardSet:
        """Return the shards of this flow run: what `make` returns, or what it returned before the run was interrupted.

        A run that is continued stays with the data it began with, though the pile has grown since: so its training goes
        on and is not begun anew.
        """
        if not (identity := flow_run.id):
            return make()
        begun = self.site.store.records(f"nights/{identity}")
        for record in begun.all():
            if (kept := self.site.store.by_digest(ShardSet, record["shards"])) is not None:
                return kept
        shards = make()
        begun.append({"shards": shards.digest, "reason": self.reason}, same=lambda one: one["shards"] == shards.digest)
        return shards

    def begin(self, shards: ShardSet) -> Night:
        """Open the night's run in the tracker, until this run is closed, and give the flow run its name."""
        night = night_of(self.run, shards, self.reason, self.site)
        naming.rename(night.title)
        tags = {"kintsugi.flow_run": flow_run.id or "", "kintsugi.flow_url": flow_run.ui_url or ""}
        self.site = self.stack.enter_context(tracked_night(night, self.run, self.site, tags))
        return night

    def each(self, names: Iterable[str], do: Callable[[str], _T]) -> dict[str, _T]:
        """Return what `do` returns by the model's name. A model whose processes fail does not keep the others waiting.

        Raises:
            LaunchFailed: No model is left.
        """
        done = {}
        for name in names:
            try:
                done[name] = do(name)
            except LaunchFailed as error:
                _log.error("%s failed: %s", name, error)
                self.failed[name] = error
        if not done:
            raise self.failure()
        return done

    def failure(self) -> LaunchFailed:
        """Return one error that names every model that failed, and says where to look at the others."""
        words = "\n".join(f"{name}: {error}" for name, error in self.failed.items())
        if self.page is not None:
            words += f"\nThe other models went on; page: {self.page}"
        return LaunchFailed(words, "\n".join(error.traceback for error in self.failed.values()))


@contextmanager
def opened(run: RunConfig, reason: str) -> Iterator[Opened]:
    """Yield the run at its site; what it opened in the tracker ends with the block.

    Raises:
        LaunchFailed: A model failed; raised at the end, after all that the others could do was done.
    """
    with ExitStack() as stack:
        stack.enter_context(patient_run())
        workspace = Workspace.from_environment().create()
        store = Store.open(run.store or workspace.default_store, workspace.cache)
        store.remove_drafts()
        uri = runs.configure(workspace.home)
        naming.show_logs()
        naming.rename(f"{run.name} · {reason}")
        here = Opened(run, Site(workspace, store, uri, run.name, progress=watcher.get()), reason, stack)
        yield here
        if here.failed:
            raise here.failure()
