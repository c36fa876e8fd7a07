"""A training beside a tracking server that comes and goes, killed at that: each point stands once, none is lost."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
import psutil
import pytest

pytestmark = [pytest.mark.server, pytest.mark.distributed, pytest.mark.slow, pytest.mark.timeout(900)]

IMAGES, EVERY = 76_800, 640
MODEL = {
    "recipe": {"kind": "vae", "network": {"kind": "conv", "latent": 4, "width": 8}},
    "training": {"images": IMAGES, "batch": 32},
    "execution": {"log_every": EVERY, "sample_every": 6_400, "checkpoint_every": 6_400},
    "evaluation": {"kind": "generation"},
    "promotion": {"metric": "reconstruction_psnr"},
}
TRAINER = """
import logging, sys
from pathlib import Path
from components.artifacts import Store
from components.config import ModelConfig
from components.data import ShardSet
from components.servers.patience import patient_run
from components.stages.candidate import Candidate, Data, EvaluationSet
from components.stages.site import Site
from components.stages.train import train
from components.tracking import runs
from components.workspace import Workspace
logging.basicConfig(level="WARNING")
workspace = Workspace(Path(sys.argv[1]))
workspace.create()
with patient_run():
    uri = runs.configure(workspace.home)
    site = Site(workspace, Store(workspace.store), uri, "outages", lambda *_: None, runs.open_run("outages", "p", "p"))
    shards = ShardSet.read(Path(sys.argv[2]))
    judged_on = EvaluationSet(shards=shards, corruptions=None, pinned=None)
    train(Candidate("vae", ModelConfig.model_validate_json(sys.argv[3])), Data(shards, judged_on, None, None, 5), site)
"""


class Server:
    """An MLflow server on loopback that can be killed and brought back at the same address."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{port}"
        self._log = folder / "log"
        self._command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
        self._command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
        self._command += ["--artifacts-destination", str(folder / "artifacts")]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        wait_for(self._answers, 180)

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False


@dataclass
class Troubled:
    """What is left of a training after all its troubles."""

    run: mlflow.entities.Run
    client: mlflow.MlflowClient
    said: str


def wait_for(condition: Callable[[], bool], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)


def delivered(server: Server) -> int:
    """Return the images up to which the server has the loss."""
    client = mlflow.MlflowClient(server.uri)
    (run,) = client.search_runs([client.get_experiment_by_name("outages-vae").experiment_id])
    return max((point.step for point in client.get_metric_history(run.info.run_id, "train/vae/loss")), default=0)


def kill_with_all_below(process: "subprocess.Popen[bytes]") -> None:
    for one in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
        one.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    one = Server(tmp_path_factory.mktemp("mlflow"))
    try:
        one.start()
        yield one
    finally:
        one.kill()


@pytest.fixture(scope="module")
def troubled(server: Server, shards, tmp_path_factory: pytest.TempPathFactory) -> Troubled:
    """Take the server away in training and at its end, and kill all ranks and their launcher in between."""
    home = tmp_path_factory.mktemp("home") / "workspace"
    command = [sys.executable, "-c", TRAINER, str(home), str(shards.path), json.dumps(MODEL)]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": server.uri}
    words = home.with_name("stderr.log")

    def start() -> subprocess.Popen[bytes]:
        with words.open("wb") as log:
            return subprocess.Popen(command, env=environment, stderr=log)

    def curve() -> list[dict[str, float]]:
        paths = list(home.glob("training/*/curve.jsonl"))
        return [json.loads(line) for line in paths[0].read_text().splitlines()] if paths else []

    def images() -> int:
        return int(curve()[-1]["images"]) if curve() else 0

    def reached(place: int) -> None:
        wait_for(lambda: images() >= place or trainer.poll() is not None, 400)
        assert trainer.poll() is None, words.read_text()

    trainer = start()
    try:
        reached(4 * EVERY)
        server.kill()
        reached(14 * EVERY + 64)  # past the checkpoint at ten
        kill_with_all_below(trainer)
        trainer.wait()
        server.start()
        trainer = start()
        wait_for(lambda: delivered(server) > 14 * EVERY, 400)  # what was kept while it was away, and more
        server.kill()
        speeds = curve()
        wait_for(lambda: bool(list(home.glob("training/*/export"))), 400)
        wait_for(lambda: "does not answer; waiting" in words.read_text() or trainer.poll() is not None, 200)
        time.sleep(20)
        assert trainer.poll() is None, "it should wait for the server"
        server.start()
        assert trainer.wait(timeout=300) == 0, words.read_text()
    finally:
        if trainer.poll() is None:
            kill_with_all_below(trainer)
    (finished,) = home.glob("store/checkpoint/*/curve.jsonl")
    away = [json.loads(line) for line in finished.read_text().splitlines()][len(speeds) :]
    for name, part in (("there", speeds[-8:]), ("away", away)):
        print(f"server {name}: {sum(point['images_per_s'] for point in part) / len(part):,.0f} images/s")
    client = mlflow.MlflowClient(server.uri)
    experiment = client.get_experiment_by_name("outages-vae")
    (run,) = client.search_runs([experiment.experiment_id], "attributes.run_name = 'vae'")
    return Troubled(run, client, words.read_text())


def test_every_point_stands_once_and_none_is_lost(troubled: Troubled) -> None:
    for name in ("train/vae/loss", "train/images_per_s", "train/vae/gradient_norm"):
        history = troubled.client.get_metric_history(troubled.run.info.run_id, name)
        assert sorted(point.step for point in history) == list(range(EVERY, IMAGES + 1, EVERY))
    for name in troubled.run.data.metrics:
        steps = Counter(point.step for point in troubled.client.get_metric_history(troubled.run.info.run_id, name))
        assert set(steps.values()) == {1}, name


def test_every_picture_stands_once_and_none_is_lost(troubled: Troubled) -> None:
    files = [file.path for file in troubled.client.list_artifacts(troubled.run.info.run_id, "images")]
    shown = Counter(path.split("+timestamp+")[0] for path in files if path.endswith(".png"))
    assert set(shown.values()) == {1}
    steps = {int(name.split("+step+")[1]) for name in shown}
    assert steps == set(range(6_400, IMAGES + 1, 6_400))


def test_the_run_waits_for_the_server_says_so_and_is_finished(troubled: Troubled) -> None:
    assert troubled.run.info.status == "FINISHED"
    assert troubled.run.data.tags["kintsugi.checkpoint"]
    assert "does not answer; waiting, at most 30 min" in troubled.said
    assert "answers again, after" in troubled.said
    assert "Traceback" not in troubled.said
