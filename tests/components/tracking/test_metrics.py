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
from PIL import Image

from components.tracking import MlflowTracker, NullTracker, runs, writing


@pytest.fixture
def run(store: Path) -> str:
    return runs.open_run("kintsugi", "training", "digest")


@pytest.fixture
def start(store: Path, run: str, tmp_path: Path) -> Callable[..., MlflowTracker]:
    return lambda **options: MlflowTracker(
        mlflow.get_tracking_uri(), run, tmp_path / "outbox", **{"close_within_s": 30, **options}
    )


@pytest.fixture
def picture(tmp_path: Path) -> Callable[..., Path]:
    """Writes a picture of one value where a training keeps its own."""

    def write(value: int = 0) -> Path:
        path = tmp_path / "pictures" / f"{value}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(path)
        return path

    return write


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def kept(run: str):
    return MlflowClient().get_run(run).data


def pictures(run: str) -> list[str]:
    return [file.path for file in MlflowClient().list_artifacts(run, "images") if file.path.endswith(".png")]


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


def test_a_resumed_training_adds_only_what_is_not_there(start, run: str, picture) -> None:
    for begin, end in ((64, 512), (256, 1024)):  # the second goes on from a checkpoint in the middle of the first
        tracker = start(images=begin)
        for images in range(begin + 64, end + 1, 64):
            tracker.log_metrics({"loss": begin + images, f"only from {begin}": 1.0}, images)
            if images == 512:
                tracker.log_image("samples", picture(7), images)
        assert tracker.close() == 0
        runs.finish_run(run, "KILLED")
        assert runs.open_run("kintsugi", "training", "digest") == run
    expected = [(images, 64.0 + images) for images in range(128, 513, 64)]
    assert history(run, "loss") == expected + [(images, 256.0 + images) for images in range(576, 1025, 64)]
    assert [images for images, _ in history(run, "only from 256")] == list(range(320, 1025, 64))
    assert len(pictures(run)) == 1


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


def test_pictures_arrive_where_mlflow_looks_for_them(start, run: str, picture) -> None:
    tracker = start()
    tracker.log_image("samples/all (of it)", picture(7), 640)
    assert tracker.close() == 0
    (file,) = pictures(run)
    assert file.startswith("images/samples~all _of it_+step+640+timestamp+")
    assert mlflow.artifacts.load_image(f"runs:/{run}/{file}").getpixel((0, 0)) == (7, 7, 7)
    files = {file.path for file in MlflowClient().list_artifacts(run, "images")}
    assert files == {file, file.removesuffix(".png") + "+compressed.webp"}
    assert kept(run).tags["mlflow.loggedImages"] == "True"


def test_a_picture_sent_again_stands_once(start, run: str, picture, tmp_path: Path) -> None:
    for _ in range(2):
        tracker = start()
        tracker.log_image("samples", picture(7), 640)
        assert tracker.close() == 0
        (tmp_path / "outbox" / "pictures.sent").unlink()  # as after a kill between MLflow's answer and our note of it
    assert len(pictures(run)) == 1


def test_a_name_that_mlflow_does_not_allow_is_changed_not_lost(start, run: str) -> None:
    tracker = start()
    tracker.log_metrics({"psnr (hole)": 1.0, "ok": 2.0}, 1)
    assert tracker.close() == 0
    assert MlflowClient().get_run(run).data.metrics == {"psnr _hole_": 1.0, "ok": 2.0}


def test_a_server_that_is_down_costs_only_a_warning(
    closed_port: int, tmp_path: Path, picture, caplog: pytest.LogCaptureFixture
) -> None:
    address = f"http://127.0.0.1:{closed_port}"
    tracker = MlflowTracker(address, "0" * 32, tmp_path / "outbox", flush_every_s=0.05, close_within_s=0.5)
    file = picture()
    began = time.monotonic()
    for images in range(600):
        tracker.log_metrics({"loss": 1.0}, images)
    tracker.log_image("samples", file, 1)
    assert time.monotonic() - began < 0.5
    assert tracker.close() == 601
    assert time.monotonic() - began < 5
    assert "MLflow does not answer; points wait in" in caplog.text


def test_what_one_process_could_not_send_the_next_one_does(
    closed_port: int, tmp_path: Path, store: Path, run: str, picture
) -> None:
    address = f"http://127.0.0.1:{closed_port}"
    tracker = MlflowTracker(address, run, tmp_path / "outbox", flush_every_s=0.05, close_within_s=0.2)
    for images in range(2500):
        tracker.log_metrics({"loss": float(images)}, images)
    tracker.log_image("samples", picture(), 1)
    assert tracker.close() == 2501
    writing.deliver_rest(tmp_path / "outbox", run)
    assert history(run, "loss") == [(images, float(images)) for images in range(2500)]
    assert len(pictures(run)) == 1


def test_what_mlflow_refuses_does_not_block_the_rest(
    start, run: str, picture, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = picture(1)
    broken.write_bytes(b"no picture")
    tracker = start()
    tracker.log_image("broken", broken, 1)
    tracker.log_image("whole", picture(2), 1)
    assert tracker.close() == 0
    assert [name.split("+")[0] for name in pictures(run)] == ["images/whole"]
    assert "not a readable picture" in caplog.text


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
