"""Upkeep: the light flows beside retraining. `watch` notices that the pile of images has changed."""

import logging
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow
from prefect.events import emit_event

from components.artifacts import Store
from components.config import load
from components.workspace import Workspace
from flows import naming
from flows.automations import NEW_DATA

_log = logging.getLogger(__name__)


@flow(name="watch")
def watch(config: Path, overrides: tuple[str, ...] = ()) -> bool:
    """Return whether the source has changed since the last look, and tell Prefect's server so, which starts a night.

    A look reads names, sizes and times of files, not their bytes. The first look only remembers.
    """
    run = load(config, overrides)
    workspace = Workspace.from_environment()
    looks = Store.open(run.store or workspace.default_store, workspace.cache).records(f"watch/{run.name}")
    naming.rename(f"{run.name} · watch")
    known, signature = looks.all(), run.dataset.source.signature()
    if known and known[-1]["signature"] == signature:
        _log.info("%s: nothing new since %s", run.dataset.source.describe(), known[-1]["at"])
        return False
    looks.append({"signature": signature, "at": datetime.now(UTC).isoformat(timespec="seconds")})
    if not known:
        _log.info("%s: first look", run.dataset.source.describe())
        return False
    _log.info("%s has changed since %s", run.dataset.source.describe(), known[-1]["at"])
    emit_event(NEW_DATA, resource={"prefect.resource.id": f"kintsugi.source.{run.name}"}, payload={"before": known[-1]})
    return True
