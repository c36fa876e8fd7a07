"""The tracker writes what it is given, and a server that is down costs the training loop nothing."""

import math
import socket
import time
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from components.tracking import MlflowTracker, NullTracker, runs


@pytest.fixture
def run(store: Path) -> str:
    return runs.open_run("kintsugi", "training", "digest")


@pytest.fixture
def start(store: Path, run: str) -> Callable[..., MlflowTracker]:
    return lambda **options: MlflowTracker(mlflow.get_tracking_uri(), run, **options)


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def history(run: str, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in MlflowClient().get_metric_history(run, name)]


def test_points_arrive_in_order_at_images_seen(start, run: str) -> None:
    tracker = start()
    for images in range(0, 64 * 1500, 64):
        tracker.log_metrics({"loss/generator": images / 2, "loss/discriminator": 1.0}, images)
    assert tracker.close() == 0
    assert history(run, "loss/generator") == [(images, images / 2) for images in range(0, 64 * 1500, 64)]
    assert len(history(run, "loss/discriminator")) == 1500


def test_points_arrive_while_training_goes_on(start, run: str) -> None:
    tracker = start(flush_every_s=0.05)
    tracker.log_metrics({"loss": 1.0}, 64)
    end = time.monotonic() + 10
    while not history(run, "loss") and time.monotonic() < end:
        time.sleep(0.02)
    assert history(run, "loss") == [(64, 1.0)]
    tracker.close()


def test_a_continued_run_takes_more_points(start, run: str) -> None:
    for images in (64, 128):
        tracker = start()
        tracker.log_metrics({"loss": 1.0}, images)
        tracker.close()
        runs.finish_run(run, "KILLED")
        assert runs.open_run("kintsugi", "training", "digest") == run
    assert history(run, "loss") == [(64, 1.0), (128, 1.0)]


def test_the_tracker_neither_begins_nor_ends_runs(start, run: str) -> None:
    start().close()
    assert MlflowClient().get_run(run).info.status == "RUNNING"
    assert mlflow.active_run() is None


def test_numbers_that_are_not_finite_are_left_out_and_told(start, run: str, caplog: pytest.LogCaptureFixture) -> None:
    tracker = start()
    for images in (1, 2):
        tracker.log_metrics({"loss": math.inf, "rate": math.nan, "good": 1.0}, images)
    assert tracker.close() == 0
    assert set(MlflowClient().get_run(run).data.metrics) == {"good"}
    assert "loss is inf at 1 images" in caplog.text
    assert "{'loss': 2, 'rate': 2}" in caplog.text


def test_pictures_and_texts_arrive(start, run: str) -> None:
    tracker = start()
    picture = np.full((8, 8, 3), 7, np.uint8)
    tracker.log_image("samples", picture, 640)
    picture[:] = 0
    tracker.log_text("notes.txt", "from https://me:hunter22@host")
    assert tracker.close() == 0
    files = [file.path for file in MlflowClient().list_artifacts(run, "images") if file.path.endswith(".png")]
    assert mlflow.artifacts.load_image(f"runs:/{run}/{files[0]}").getpixel((0, 0)) == (7, 7, 7)
    assert mlflow.artifacts.load_text(f"runs:/{run}/notes.txt") == "from https://[redacted]@host"


def test_a_name_that_mlflow_does_not_allow_is_changed_not_lost(start, run: str) -> None:
    tracker = start()
    tracker.log_metrics({"psnr (hole)": 1.0, "ok": 2.0}, 1)
    assert tracker.close() == 0
    assert MlflowClient().get_run(run).data.metrics == {"psnr _hole_": 1.0, "ok": 2.0}


def test_a_server_that_is_down_costs_only_a_warning(closed_port: int, caplog: pytest.LogCaptureFixture) -> None:
    tracker = MlflowTracker(f"http://127.0.0.1:{closed_port}", "0" * 32, flush_every_s=0.05, close_within_s=0.5)
    began = time.monotonic()
    for images in range(600):
        tracker.log_metrics({"loss": 1.0}, images)
    tracker.log_image("samples", np.zeros((8, 8, 3), np.uint8), 1)
    assert time.monotonic() - began < 0.5
    assert tracker.close() == 601
    assert time.monotonic() - began < 5
    assert "did not take 601 points and files" in caplog.text


def test_memory_is_bounded_and_the_newest_points_are_kept(closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.tracking.metrics.POINTS_KEPT", 100)
    tracker = MlflowTracker(f"http://127.0.0.1:{closed_port}", "0" * 32, flush_every_s=60, close_within_s=0.1)
    for images in range(150):
        tracker.log_metrics({"loss": 1.0}, images)
    assert [point.images for point in tracker._points] == list(range(50, 150))
    assert tracker.close() == 150


def test_what_the_server_refuses_is_counted_and_does_not_block_the_rest(start, run: str) -> None:
    tracker = start(close_within_s=3.0)
    tracker.log_text("../outside.txt", "x")
    tracker.log_text("inside.txt", "y")
    assert tracker.close() == 1
    assert mlflow.artifacts.load_text(f"runs:/{run}/inside.txt") == "y"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_unforeseen_error_in_the_writer_does_not_end_the_writing(start, run: str) -> None:
    tracker = start(flush_every_s=0.05)
    tracker.log_image("samples", np.zeros((8, 8, 7), np.uint8), 1)
    tracker._writer.join(10)
    tracker.log_metrics({"loss": 1.0}, 64)
    assert tracker.close() == 1
    assert history(run, "loss") == [(64, 1.0)]


def test_the_load_of_the_machine_is_sampled(start, run: str) -> None:
    tracker = start(system_metrics=True, flush_every_s=0.05)
    tracker.log_metrics({"loss": 1.0}, 64)
    time.sleep(0.2)
    tracker.close()
    metrics = MlflowClient().get_run(run).data.metrics
    assert 0 < metrics["system/system_memory_usage_percentage"] <= 100
    assert metrics["system/process_memory_usage_megabytes"] > 1


def test_the_null_tracker_keeps_nothing() -> None:
    tracker = NullTracker()
    tracker.log_metrics({"loss": 1.0}, 1)
    assert tracker.close() == 0
