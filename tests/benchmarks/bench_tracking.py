"""What it costs to keep a metric: our buffered writer against MLflow's own call, into one SQLite store."""

import logging
from collections.abc import Iterator
from pathlib import Path

from harness import Effort, Figure, Peer, Timed
from mlflow import MlflowClient

from components.tracking.metrics import MlflowTracker

_NAMES = tuple(f"phase/value_{number}" for number in range(10))


def figures(effort: Effort, folder: Path) -> Iterator[Figure]:
    """Yield the one figure; CPU time includes the writer's thread and what `close` waits for."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = MlflowClient(uri)
    experiment = client.create_experiment("benchmark", str(folder / "files"))
    steps, few = effort.of(300, 5), effort.of(20, 1)

    def ours(count: int) -> str:
        run = client.create_run(experiment).info.run_id
        tracker = MlflowTracker(uri, run, folder / run, close_within_s=60)
        for step in range(count):
            tracker.log_metrics(dict.fromkeys(_NAMES, float(step)), step)
        assert tracker.close() == 0
        return run

    def one_by_one(count: int) -> str:
        run = client.create_run(experiment).info.run_id
        for step in range(count):
            for name in _NAMES:
                client.log_metric(run, name, float(step), step=step)
        return run

    def check() -> str:
        stored = [
            [(point.step, point.value) for name in _NAMES for point in client.get_metric_history(log(few), name)]
            for log in (ours, one_by_one)
        ]
        assert stored[0] == stored[1]
        return f"the same {len(stored[0])} points are in the store afterwards"

    yield Figure(
        "metrics into MLflow on SQLite",
        "metrics",
        Timed("ours", steps * len(_NAMES), lambda: ours(steps)),
        [Peer(Timed("MlflowClient.log_metric", few * len(_NAMES), lambda: one_by_one(few)), 25)],
        check,
    )
