"""Load: servers started for a measurement, with a model whose bytes are known; clients that ask without a pause."""

import base64
import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from components.pictures.encoding import png
from components.recipes.export import ModelCard, export_digest, write_export
from components.recipes.inpainter import InpainterConfig
from components.recipes.recipe import PRODUCER
from components.tracking import registry, runs

NAME = "bench-inpainter"
SIDE_PX = 64
HERE = Path(__file__).parent


def request_of(side: int = SIDE_PX) -> dict[str, str]:
    """Return a picture and a mask, as base64 PNG."""
    image = np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)
    mask = np.zeros((side, side, 3), np.uint8)
    mask[side // 4 : side // 2, side // 4 : side // 2] = 255
    return {name: base64.b64encode(png(pixels)).decode() for name, pixels in (("image", image), ("mask", mask))}


def register(home: Path, seed: int) -> Path:
    """Register an untrained network, whose pictures follow from the seed, and return its export."""
    recipe = InpainterConfig()
    network = recipe.build(SIDE_PX, 1).networks[PRODUCER]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    export = home / f"export-{seed}"
    export.mkdir()
    write_export(export, network, ModelCard(size=SIDE_PX, recipe=recipe, images=0))
    digest = export_digest(export)
    run = runs.open_run("bench", "inpainter", digest)
    made = registry.Export(export, digest, "inpainter", recipe.interface)
    registry.register(NAME, made, lineage={}, run_id=run)
    return export


@dataclass
class Answer:
    """What became of one request."""

    began: float
    ended: float
    status: int
    version: str
    content: bytes


@dataclass
class Load:
    """Clients that each send one request after the other on a connection of their own."""

    port: int
    path: str
    body: bytes
    answers: list[Answer] = field(default_factory=list)

    def run(self, clients: int, more: Callable[[int], bool]) -> float:
        """Send requests while `more` says so of the number sent by then, and return the seconds it took."""
        lock, sent = threading.Lock(), 0

        def claimed() -> bool:
            nonlocal sent
            with lock:
                goes_on = more(sent)
                sent += goes_on
                return goes_on

        def client() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
            while claimed():
                began = time.perf_counter()
                connection.request("POST", self.path, self.body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                content = answer.read()
                version = answer.headers.get("X-Kintsugi-Version", "")
                self.answers.append(Answer(began, time.perf_counter(), answer.status, version, content))
            connection.close()

        threads = [threading.Thread(target=client) for _ in range(clients)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - began


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def started(command: list[str], port: int, health: str, home: Path) -> Iterator[None]:
    """Run a server until it is no longer needed; from when it answers at `health`."""
    environment = {**os.environ, "KINTSUGI_HOME": str(home), "PYTHONPATH": str(HERE.parents[1])}
    environment["PATH"] = (
        f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"  # MLflow starts uvicorn by name
    )
    with (home / f"{port}.log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 300
        while not _answers(port, health):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((home / f"{port}.log").read_text()[-2000:])
            time.sleep(0.2)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, 15)
        server.wait(60)


def _answers(port: int, path: str) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False


def tool(name: str) -> str:
    """Return the path of a command of this environment."""
    return str(Path(sys.executable).with_name(name))


def serve_command(port: int) -> list[str]:
    """Return the command that serves the model."""
    return [tool("kintsugi"), "serve", "--model", NAME, "--port", str(port)]


def prepared(home: Path) -> Path:
    """Make a registry at `home` with two versions, the first in service, and return the first one's export."""
    os.environ["KINTSUGI_HOME"] = str(home)
    runs.configure(home)
    export = register(home, 1)
    registry.promote(NAME, 1, judged_against=None)
    register(home, 2)
    return export


@contextmanager
def both_servers(home: Path, export: Path) -> Iterator[dict[str, int]]:
    """Run `kintsugi serve` and MLflow's scoring server with the same model, and give their ports by name."""
    ours, theirs = free_port(), free_port()
    model = export.parent / "cache" / "models" / f"{NAME}-1"
    with started(serve_command(ours), ours, "/readyz", home):
        score = [tool("mlflow"), "models", "serve", "-m", str(model), "--env-manager", "local", "-p", str(theirs)]
        with started(score, theirs, "/ping", home):
            yield {"kintsugi serve": ours, "MLflow's scoring server": theirs}
