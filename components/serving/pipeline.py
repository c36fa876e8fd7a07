"""Pipeline: what the nights are at, as `/metrics` tells it: stages, speed, waiting, memory, queue, last success."""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Gauge

from components.serving.background import Refresher
from components.tracking import underway, watching
from components.tracking.underway import Training, Underway
from components.tracking.watching import RegistryAwayError
from components.training.curve import DATA_WAIT, PACE, PEAK_CARD_MEMORY, PEAK_MEMORY
from components.workspace import Workspace

_EVERY_S = 10.0
_STALE_S = 60.0
_MEGABYTE = 1e6

Queue = Callable[[], Mapping[str, int]]
"""Returns how many runs there are by state, such as waiting and running; nothing where nobody knows."""


class PipelineMeasures:
    """Gauges of what was seen last; what is no longer under way has none."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, words: str, *labels: str) -> Gauge:
            return Gauge(f"kintsugi_{name}", words, labels, registry=registry)

        self._stage = gauge("night_stage", "1 for the stage that a night under way began last.", "run", "stage")
        self._success = gauge("night_last_success_timestamp_seconds", "End of the last night that ended well.", "run")
        self._queue = gauge("night_runs", "Flow runs of the Prefect server that wait or run.", "state")
        self._trainings: tuple[tuple[str, float, Gauge], ...] = (
            (PACE, 1, gauge("training_images_per_second", "Images that a training sees per second.", "model")),
            (DATA_WAIT, 1, gauge("training_data_wait_ratio", "Share of time in which it waits for data.", "model")),
            (PEAK_MEMORY, _MEGABYTE, gauge("training_memory_bytes", "The most memory that its ranks held.", "model")),
            (PEAK_CARD_MEMORY, _MEGABYTE, gauge("training_gpu_memory_bytes", "The same on graphics cards.", "model")),
        )

    def show(self, seen: Underway, queue: Mapping[str, int]) -> None:
        """Show one look."""
        for one in (self._stage, self._success, self._queue, *(gauge for _, _, gauge in self._trainings)):
            one.clear()
        for run, stage in seen.stages.items():
            self._stage.labels(run, stage or "begun").set(1)
        for run, moment in seen.last_success.items():
            self._success.labels(run).set(moment.timestamp())
        for state, count in queue.items():
            self._queue.labels(state).set(count)
        for training in seen.trainings:
            self._show_training(training)

    def _show_training(self, training: Training) -> None:
        for name, unit, gauge in self._trainings:
            if (value := underway.reported(training, name)) is not None:
                gauge.labels(training.model).set(value * unit)


class Pipeline:
    """Looks at MLflow, and asks for the queue, when somebody asks for the measures; at most every ten seconds."""

    def __init__(self, registry: CollectorRegistry, workspace: Workspace, queue: Queue | None = None) -> None:
        """Prepare; nothing is asked before the first request.

        Args:
            registry: Where the gauges are.
            workspace: Whose MLflow it is.
            queue: Asks how many runs wait; blocking, and raising nothing. None: nobody knows.
        """
        self._workspace, self._queue = workspace, queue
        self._measures = PipelineMeasures(registry)
        self.refresher = Refresher("pipeline", self._look, (RegistryAwayError,), every_s=_EVERY_S, stale_s=_STALE_S)

    def _look(self) -> None:
        watching.watch(self._workspace.home)
        self._measures.show(underway.look(), self._queue() if self._queue else {})
