"""Site: where a pipeline run happens, and how its jobs are launched there."""

import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from components import launch
from components.artifacts import Store
from components.executors import LOCAL, ExecutorConfig
from components.launch.processors import processors
from components.logs import lines
from components.section import digest_of
from components.servers.patience import PatienceEndedError, at_most, is_outage
from components.stages.budget import Budget
from components.stages.night import Night
from components.tracking import runs
from components.tracking.client import TrackingError
from components.tracking.underway import STAGE
from components.training.config import ExecutionConfig
from components.worker.jobs import PROGRESS, Job
from components.worker.program import program
from components.workspace import Workspace

_BRIEFLY_S = 5.0
_log = logging.getLogger(__name__)


class Progress(Protocol):
    """Shows a person how far a stage is."""

    def __call__(self, stage: str, done: int, total: int | None, note: str = "") -> None:
        """Take the state of one stage; `note` is a few words such as the loss."""
        ...


@dataclass(frozen=True)
class Host:
    """This host's place among those of one training. Host 0 writes; the others lend their processors."""

    rank: int
    rendezvous: str | None
    """host:port of host 0, reachable from all."""

    @classmethod
    def from_environment(cls) -> "Host":
        """Return the place that KINTSUGI_NODE_RANK and KINTSUGI_RENDEZVOUS name; host 0 if they are not set.

        Raises:
            ValueError: KINTSUGI_NODE_RANK is not a whole number from 0.
        """
        stated = os.environ.get("KINTSUGI_NODE_RANK") or "0"
        if not stated.isdecimal():
            raise ValueError(f"KINTSUGI_NODE_RANK is {stated!r}, expected the number of this host: 0, 1, ...")
        return cls(int(stated), os.environ.get("KINTSUGI_RENDEZVOUS") or None)

    def placement(self, execution: ExecutionConfig) -> launch.Placement:
        """Return where this host's part of a training's processes runs."""
        return launch.Placement(execution.processes, execution.nodes, self.rank, self.rendezvous)

    def check(self, nodes: int) -> None:
        """Refuse a place that does not exist among `nodes` hosts.

        Raises:
            ValueError: There are not so many hosts, or host 0 cannot be found.
        """
        if self.rank >= nodes:
            raise ValueError(
                f"KINTSUGI_NODE_RANK is {self.rank}, but execution.nodes is {nodes}: hosts count from 0 to {nodes - 1}"
            )
        if nodes > 1 and self.rendezvous is None:
            raise ValueError(
                f"execution.nodes is {nodes}, but KINTSUGI_RENDEZVOUS is not set; "
                "expected host:port of host 0, reachable from all hosts"
            )


@dataclass(frozen=True)
class Site:
    """Where a pipeline run happens: folders, artifact store, tracking server and the person who watches."""

    workspace: Workspace
    store: Store
    tracking_uri: str
    experiment: str
    """Name of the run's configuration: the experiment of its nights, and the first part of its models' names."""
    progress: Progress
    parent_run: str | None = None
    """The night's run in the tracker; None before it is known which data it is of."""
    night: Night | None = None
    """Which night it is; None likewise."""
    at_once: int = 1
    """Models that the run works on side by side, which share this host's cores."""
    budget: Budget | None = None
    """What the night's trainings may take together; None: as much as they need."""
    executor: ExecutorConfig = LOCAL
    """Who works on partitions of the data."""
    asked: threading.Event | None = None
    """Set when the run ends while this model is under way in a thread of its own; None in the main thread."""


def run_job(job: Job, site: Site, stage: str, placement: launch.Placement, limits: launch.Limits | None = None) -> None:
    """Hand `job` to torchrun's processes, show their progress and wait for them.

    Args:
        job: What they do.
        site: Where it happens.
        stage: What is shown meanwhile.
        placement: How many processes there are, on which hosts.
        limits: When they are given up; None sets no limit.

    Raises:
        Stopped: They stopped on purpose; the same call resumes.
        LaunchFailed: A process failed; the message is its own.
        Interrupted: The run ends for what another of its models met.
    """
    folder = site.workspace.logs / stage.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    handed = folder / f"job-{digest_of(job)}.json"
    handed.write_text(job.model_dump_json(indent=1))
    _note_stage(stage, site)
    with processors(stage, placement.processes, partial(_wait, stage, site)) as variables:
        launch.launch_ranks(
            program(handed, variables),
            replace(placement, at_once=site.at_once),
            folder,
            limits=replace(limits or launch.Limits(), asked=site.asked),
            on_line=partial(_show, stage, site.progress),
        )


def _note_stage(stage: str, site: Site) -> None:
    """Let the night's run say what it is at; that is not worth waiting for."""
    if site.parent_run is not None:
        with at_most(_BRIEFLY_S), suppress(PatienceEndedError, TrackingError):
            runs.link_run(site.parent_run, {STAGE: stage})


def _wait(stage: str, site: Site, words: str) -> None:
    """Show who is in the way; once the run ends, wait no longer."""
    if site.asked is not None and site.asked.is_set():
        raise launch.Interrupted("asked to end")
    site.progress(stage, 0, None, f"waiting; {words}")


@contextmanager
def tracked(site: Site, name: str, digest: str, params: Mapping[str, object] | None = None) -> Iterator[str]:
    """Open the tracking run of one model and end it as the block ends: finished, failed, or stopped for later.

    Each model has an experiment of its own, named as it is registered, so that its nights stand beside each other.
    """
    experiment = registered_name(site.experiment, name)
    run_id = runs.open_run(
        experiment, site.night.subtitle if site.night else name, digest, parent=site.parent_run, params=params
    )
    with ending(run_id):
        yield run_id


def registered_name(run: str, model: str) -> str:
    """Return the name of a model in the registry, and of the experiment of its trainings."""
    return f"{run}-{model}"


@contextmanager
def ending(run_id: str) -> Iterator[None]:
    """End a tracking run as the block ends: finished, failed, or stopped in a state that can be resumed.

    An error of the block is never hidden by one of telling so. Where a person or Prefect waits for this process to end,
    and where the tracking server was waited for in vain, it is waited for no longer.
    """
    try:
        yield
    except launch.Stopped:
        _report(run_id, "KILLED")
        raise
    except Exception as error:
        if not is_outage(error):
            _report(run_id, "FAILED")
            raise
        with at_most(_BRIEFLY_S):
            _report(run_id, "KILLED")
        raise
    except BaseException:  # an interrupt, or a cancelled flow
        with at_most(_BRIEFLY_S):
            _report(run_id, "KILLED")
        raise
    runs.finish_run(run_id)


def _report(run_id: str, status: runs.RunStatus) -> None:
    try:
        runs.finish_run(run_id, status)
    except (PatienceEndedError, TrackingError) as error:
        _log.warning("MLflow shows a run as going on that is %s: %s", status, error)


def _show(stage: str, progress: Progress, line: str) -> None:
    _, found, text = line.partition(PROGRESS)
    try:
        facts = json.loads(text) if found else None
    except json.JSONDecodeError:  # a full disk took half a line
        facts = None
    if facts is None:
        lines.pass_on(_log, stage, line)
        return
    losses = [f"{key} {value:.3g}" for key, value in facts.items() if key.endswith("/loss")]
    progress(stage, facts["images"], facts["of"], f"{facts['images_per_s']:,.0f} images/s  {'  '.join(losses)}")


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """Return nested values under dotted names: {"a": {"b": 1}} becomes {"a.b": 1}."""
    flat: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
