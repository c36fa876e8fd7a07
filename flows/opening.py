"""Opening: from a configuration file to the place where its run happens, once per process for nested flows."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from prefect.runtime import flow_run

from components.artifacts import Store
from components.config import RunConfig, load
from components.launch import LaunchFailed
from components.patience import patient_run
from components.section import digest_of
from components.stages.site import Site, ending, flatten
from components.tracking import runs
from components.workspace import Workspace
from flows.watching import watcher

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


@dataclass
class Opened:
    """A run under way: what it is, where it happens, which of its models failed, and the page of the others."""

    run: RunConfig
    site: Site
    failed: dict[str, LaunchFailed] = field(default_factory=dict)
    page: Path | None = None

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
            words += f"\nThe other models went on; page: {self.page.as_uri()}"
        return LaunchFailed(words, "\n".join(error.traceback for error in self.failed.values()))


_current: ContextVar[Opened | None] = ContextVar("current", default=None)


@contextmanager
def opened(config: Path, overrides: Sequence[str]) -> Iterator[Opened]:
    """Yield the run; the outermost flow opens and ends the parent run in the tracker.

    Raises:
        LaunchFailed: A model failed; raised by the outermost flow, after all that the others could do was done.
    """
    if (current := _current.get()) is not None:
        yield current
        return
    with patient_run(), _begun(load(config, overrides)) as here:
        yield here


@contextmanager
def _begun(run: RunConfig) -> Iterator[Opened]:
    workspace = Workspace.from_environment()
    store = Store.open(run.store or workspace.default_store, workspace.cache)
    store.remove_drafts()
    uri = runs.configure(workspace.home)
    parent = runs.open_run(
        run.name,
        run.name,
        run_digest(run),
        params=flatten(_determining(run)),
        tags={"kintsugi.flow_run": flow_run.id or "", "kintsugi.flow_url": flow_run.ui_url or ""},
    )
    here = Opened(run, Site(workspace, store, uri, run.name, parent, watcher.get()))
    token = _current.set(here)
    try:
        with ending(parent):
            yield here
            if here.failed:
                raise here.failure()
    finally:
        _current.reset(token)


def run_digest(run: RunConfig) -> str:
    """Return the identity of a run: all of its configuration but where it is stored and how it is carried out."""
    return digest_of(_determining(run))


def _determining(run: RunConfig) -> dict[str, Any]:
    models = {name: model.model_dump(mode="json", exclude={"execution"}) for name, model in run.models.items()}
    return {**run.model_dump(mode="json", exclude={"store", "models"}), "models": models}
