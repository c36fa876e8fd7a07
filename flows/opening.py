"""Opening: from a configuration file to the place where its run happens, once per process for nested flows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from prefect.runtime import flow_run

from components.artifacts import Store
from components.config import RunConfig, load
from components.section import digest_of
from components.stages.site import Site, ending, flatten
from components.tracking import runs
from components.workspace import Workspace
from flows.watching import watcher

_current: ContextVar[tuple[RunConfig, Site] | None] = ContextVar("current", default=None)


@contextmanager
def opened(config: Path, overrides: Sequence[str]) -> Iterator[tuple[RunConfig, Site]]:
    """Yield the run's configuration and site; the outermost flow opens and ends the parent run in the tracker."""
    if (current := _current.get()) is not None:
        yield current
        return
    run = load(config, overrides)
    workspace = Workspace.from_environment()
    store = Store.open(run.store or str(workspace.store), workspace.cache)
    store.remove_drafts()
    uri = runs.configure(workspace.home)
    parent = runs.open_run(
        run.name,
        run.name,
        run_digest(run),
        params=flatten(_determining(run)),
        tags={"kintsugi.flow_run": flow_run.id or "", "kintsugi.flow_url": flow_run.ui_url or ""},
    )
    site = Site(workspace, store, uri, run.name, parent, watcher.get())
    token = _current.set((run, site))
    try:
        with ending(parent):
            yield run, site
    finally:
        _current.reset(token)


def run_digest(run: RunConfig) -> str:
    """Return the identity of a run: all of its configuration but where it is stored and how it is carried out."""
    return digest_of(_determining(run))


def _determining(run: RunConfig) -> dict[str, Any]:
    models = {name: model.model_dump(mode="json", exclude={"execution"}) for name, model in run.models.items()}
    return {**run.model_dump(mode="json", exclude={"store", "models"}), "models": models}
