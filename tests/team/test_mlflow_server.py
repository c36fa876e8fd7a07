"""A shared MLflow server: what works on a laptop's database works over HTTP, for many clients, and over restarts."""

import base64
import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from PIL import Image

from components.models.vae import ConvVaeConfig
from components.recipes.export import ModelCard, export_digest, load_producer, write_export
from components.recipes.interface import generating
from components.recipes.recipe import PRODUCER
from components.recipes.serving import encode_png
from components.recipes.vae import VaeConfig
from components.tracking import MlflowTracker, registry, runs
from components.tracking.packaging import AlteredModelError
from components.tracking.standing import read_state

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(400)]

SERVED = "served_for_tests"
LOADER = """
import json
from pathlib import Path

class Model:
    def __init__(self, path):
        self.value = json.loads((Path(path) / "model.json").read_text())["value"]

    def predict(self, frame):
        return [{"image": f"{self.value}:{seed}"} for seed in frame["seed"]]

def _load_pyfunc(path):
    return Model(path)
"""

PROMOTER = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from components.tracking import registry, runs

runs.configure(Path("unused"))
versions = json.loads(sys.argv[1])

def promote(version):
    try:
        return [version, registry.promote("gan", version, judged_against=None).champion]
    except registry.ChampionMovedError as error:
        return [version, error.champion]

print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(len(versions)) as threads:
    print(json.dumps(list(threads.map(promote, versions))))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Service:
    """A process that answers HTTP on loopback; it and its children end together."""

    def __init__(self, command: list[str], environment: dict[str, str], health: str, log: Path) -> None:
        self.command, self.environment, self.health, self.log = command, environment, health, log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
            )
        deadline = time.monotonic() + 180
        while not self.answers():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.2)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.health, timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def stop(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow-server")


@pytest.fixture(scope="module")
def started(place: Path) -> Iterator[tuple[Service, str]]:
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        f"sqlite:///{place / 'mlflow.db'}",
        "--workers",
        "2",
    ]
    command += ["--artifacts-destination", str(place / "artifacts"), "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    service = Service(command, environment, f"{uri}/health", place / "log")
    try:
        service.start()
        yield service, uri
    finally:
        service.stop()


@pytest.fixture
def server(started: tuple[Service, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    service, uri = started
    if service.process is None:
        service.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    runs.configure(Path("unused"))
    yield service
    mlflow.set_tracking_uri(None)


@pytest.fixture
def loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "loader"
    folder.mkdir()
    (folder / f"{SERVED}.py").write_text(LOADER)
    monkeypatch.syspath_prepend(folder)
    return folder


def register(folder: Path, name: str, value: int) -> int:
    export = folder / f"export-{name}-{value}"
    export.mkdir()
    (export / "model.json").write_text(json.dumps({"value": value}))
    (export / "model.safetensors").write_bytes(bytes([value]) * 64)
    return registry.register(
        name,
        registry.Export(export, f"export-{value}", "gan", generating(), SERVED),
        lineage={"shards": "abc"},
        run_id=runs.open_run("kintsugi", "training", f"{name}-{value}"),
        scores=registry.VersionScores({"fd": 1.5}, "{}"),
    )


def picture(folder: Path) -> Path:
    path = folder / "samples.png"
    path.write_bytes(base64.b64decode(encode_png(np.zeros((8, 8, 3), np.uint8))))
    return path


def test_a_run_on_a_server_keeps_more_than_one_request_holds(server: Service, place: Path, tmp_path: Path) -> None:
    run = runs.open_run("kintsugi", "training", "d1", params={f"p{number}": number for number in range(150)})
    assert runs.open_run("kintsugi", "training", "d1") == run
    tracker = MlflowTracker(mlflow.get_tracking_uri(), run, tmp_path / "outbox", close_within_s=120)
    for images in range(0, 1500 * 64, 64):
        tracker.log_metrics({"loss": 0.5, "rate": 0.1}, images)
    tracker.log_image("samples", picture(tmp_path), 640)
    assert tracker.close() == 0
    runs.log_dataset(run, "pictures", "abc", "s3://bucket/pictures", "training")
    stored = MlflowClient().get_run(run)
    assert len(stored.data.params) == 150
    assert len(MlflowClient().get_metric_history(run, "loss")) == 1500
    assert stored.info.artifact_uri.startswith("mlflow-artifacts:")
    assert len(list((place / "artifacts").rglob("samples+step+640+*.png"))) == 1


def test_the_tracker_outlives_a_restart_of_the_server(
    server: Service, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = runs.open_run("kintsugi", "training", "restart")
    tracker = MlflowTracker(mlflow.get_tracking_uri(), run, tmp_path / "outbox", flush_every_s=0.2, close_within_s=120)
    tracker.log_metrics({"loss": 0.0}, 0)
    server.stop()
    for images in range(1, 1200):
        began = time.monotonic()
        tracker.log_metrics({"loss": float(images)}, images)
        assert time.monotonic() - began < 1
    tracker.log_image("samples", picture(tmp_path), 640)
    time.sleep(3)
    assert "MLflow does not answer" in caplog.text
    server.start()
    assert tracker.close() == 0
    history = MlflowClient().get_metric_history(run, "loss")
    assert sorted(point.step for point in history) == list(range(1200))
    assert len(MlflowClient().list_artifacts(run, "images")) >= 2


def test_fifty_promotions_at_once_end_with_one_champion_and_a_whole_ledger(
    server: Service, loader: Path, tmp_path: Path
) -> None:
    versions = [register(tmp_path, "gan", value) for value in range(1, 6)]
    command = [sys.executable, "-c", PROMOTER, json.dumps(versions * 2)]
    promoters = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(5)]
    for promoter in promoters:
        assert promoter.stdout is not None
        assert promoter.stdout.readline() == "ready\n"
    for promoter in promoters:
        assert promoter.stdin is not None
        promoter.stdin.write("\n")
        promoter.stdin.flush()
    answers = [pair for promoter in promoters for pair in json.loads(promoter.communicate(timeout=300)[0])]
    winner = registry.champion("gan")
    assert winner in versions
    assert len(answers) == 50
    assert {champion for _, champion in answers} == {winner}
    (entry,) = read_state(MlflowClient(), "gan").history.entries
    assert (entry.version, entry.base) == (winner, None)
    assert registry.verify("gan", loader_module=SERVED) == ()


def export(folder: Path, seed: int) -> Path:
    """Write a small network of the seed's weights as training leaves it."""
    recipe = VaeConfig(network=ConvVaeConfig(latent=8, width=4))
    network = recipe.build(16, 1).networks[PRODUCER]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
    folder.mkdir()
    write_export(folder, recipe.finished(network, images, 1), ModelCard(size=16, recipe=recipe, images=128))
    return folder


def register_network(export: Path, name: str) -> int:
    digest = export_digest(export)
    run = runs.open_run("kintsugi", "training", digest)
    return registry.register(
        name, registry.Export(export, digest, "vae", generating()), lineage={"shards": "abc"}, run_id=run
    )


def pictures(port: int, body: dict[str, object]) -> list[list[object]]:
    """Return the pixels that the served model answers."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        files = [base64.b64decode(row["image"]) for row in json.load(answer)["predictions"]]
    return [np.asarray(Image.open(io.BytesIO(file))).tolist() for file in files]


def stale_since(port: int) -> str | None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=60) as answer:
        return json.load(answer)["stale_since"]["models"]


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.3)


def test_a_champion_is_served_also_while_the_server_is_away_and_an_altered_one_is_not(
    server: Service, tmp_path: Path, place: Path
) -> None:
    first = export(tmp_path / "first", 1)
    registry.promote("served", register_network(first, "served"), judged_against=None)
    delivery = registry.download("served", "champion", tmp_path / "served-model")
    assert not [path for path in delivery.model.rglob("*") if path.suffix in {".pkl", ".pickle", ".pt"}]
    expected = [load_producer(first).generate(1, 5)[0].tolist()]
    port = free_port()
    command = [str(Path(sys.executable).with_name("kintsugi")), "serve", "--model", "served", "--port", str(port)]
    environment = {**os.environ, "KINTSUGI_HOME": str(tmp_path / "home")}
    model = Service(command, environment, f"http://127.0.0.1:{port}/health", tmp_path / "serve.log")
    records = {"dataframe_records": [{"seed": 5}]}
    try:
        model.start()
        for body in (records, {"dataframe_split": {"columns": ["seed"], "data": [[5]]}}, {"inputs": {"seed": [5]}}):
            assert pictures(port, body) == expected

        server.stop()
        wait_until(lambda: stale_since(port) is not None)
        began = time.monotonic()
        assert pictures(port, records) == expected
        assert time.monotonic() - began < 5
        server.start()
        wait_until(lambda: stale_since(port) is None)

        second = register_network(export(tmp_path / "second", 2), "served")
        for weights in (place / "artifacts").rglob("model.safetensors"):
            weights.write_bytes(b"altered")
        registry.promote("served", second, judged_against=1)
        wait_until(lambda: pictures(port, records) == expected and "not what was registered" in model.log.read_text())
        assert pictures(port, records) == expected
        assert "Traceback" not in model.log.read_text()
    finally:
        model.stop()
    with pytest.raises(AlteredModelError, match="served 2 was altered after it was registered"):
        registry.download("served", "champion", tmp_path / "again")
