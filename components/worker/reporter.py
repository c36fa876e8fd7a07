"""Reporter: the main rank's voice while training, and its pen."""

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from safetensors import SafetensorError

from components.artifacts import write_atomically
from components.data import ShardSet
from components.launch.outcome import disk_is_full
from components.pictures.encoding import png
from components.recipes.recipe import PRODUCER
from components.tracking.metrics import MlflowTracker, NullTracker, Tracker
from components.training.checkpoint import CheckpointWriter
from components.training.curve import Curve
from components.training.loop import Interval
from components.training.state import TrainingState
from components.worker.jobs import OUTBOX, PROGRESS, TrainJob
from components.worker.preview import Preview

_GROUPS = ("validation/", "system/")
_log = logging.getLogger(__name__)


class Reporter:
    """The main rank's voice: curve, tracker, progress lines, pictures and checkpoints."""

    def __init__(self, job: TrainJob, state: TrainingState, *, resumed: bool) -> None:
        self.job = job
        self.state = state
        self.curve = Curve(job.folder / "curve.jsonl", state.images)
        self.tracker = _tracker(job, state.images)
        execution, whole = job.model.execution, state.images if resumed else None
        self.checkpoints = CheckpointWriter(
            job.folder / "checkpoints", job.run, execution.keep, resumed_at=whole, keep_every=execution.keep_every
        )
        self.met_full_disk = False
        """Whether something could not be written; the run had better stop while its last checkpoint is young."""

    def report(self, values: dict[str, float]) -> None:
        """Take one set of values averaged over ranks."""
        self.note(values)
        facts = {"images": self.state.images, "of": self.job.model.training.images, **values}
        with self._noticing_a_full_disk():
            sys.stdout.write(f"{PROGRESS}{json.dumps(facts)}\n")
            sys.stdout.flush()

    def note(self, values: dict[str, float]) -> None:
        """Put values into the curve and the tracker."""
        with self._noticing_a_full_disk():
            self.curve.add(values, self.state.images)
            self.tracker.log_metrics(_grouped(values), self.state.images)

    def intervals(self, shards: ShardSet) -> tuple[Interval, ...]:
        """Return what to do while training: show pictures, keep checkpoints."""
        execution = self.job.model.execution
        recipe, network = self.job.model.recipe, self.state.averages[PRODUCER].network
        producer = recipe.producer(network)
        preview = Preview(producer, shards, self.job.corruption, self.job.seed)
        pictures = self.job.folder / "pictures"
        pictures.mkdir(exist_ok=True)  # also where there will be none, for want of validation images

        def show() -> None:
            with recipe.ready(network, self.job.seed):
                drawn = preview.draw()
            for name, picture in drawn.items():
                path = pictures / f"{name}-{self.state.images:012d}.png"
                with self._noticing_a_full_disk():
                    write_atomically(path, png(picture, smallest=True))
                    self.tracker.log_image(name, path, self.state.images)

        return (
            Interval(execution.sample_every, show),
            Interval(execution.checkpoint_every, self._save),
        )

    def finish(self) -> bool:
        """Write the last checkpoint and return whether the state is safely on disk.

        A run that diverges later does not go back to it unless its interval had come: an uninterrupted run would not.
        """
        with self._noticing_a_full_disk():
            self.checkpoints.wait()
        with self._noticing_a_full_disk():
            self.tracker.sync()
            self.checkpoints.save(self.state, good=False)
            self.checkpoints.wait()
        return self.checkpoints.durable == self.state.images

    def _save(self) -> None:
        with self._noticing_a_full_disk():
            self.tracker.sync()
            self.checkpoints.save(self.state, good=self.state.guard.is_calm)

    @contextmanager
    def _noticing_a_full_disk(self) -> Iterator[None]:
        try:
            yield
        except (OSError, SafetensorError) as error:
            if not disk_is_full(error):
                raise
            self.met_full_disk = True
            _log.warning("%s: training stops after this step", error)

    def close(self) -> None:
        """Finish writing, and let go of thread and tracker."""
        try:
            self.checkpoints.close()
        finally:
            self.tracker.close()


def _grouped(values: Mapping[str, float]) -> dict[str, float]:
    """Return values under the names that MLflow's charts are grouped by: `train/`, `validation/`, `system/`."""
    return {name if name.startswith(_GROUPS) else f"train/{name}": value for name, value in values.items()}


def _tracker(job: TrainJob, images: int) -> Tracker:
    """Return where metrics go: nowhere unless a run was named, for a worker needs torch alone."""
    if job.tracking_run is None:
        return NullTracker()
    return MlflowTracker(None, job.tracking_run, job.folder / OUTBOX, images=images, system_metrics=True)
