"""The service under load: `python tests/benchmarks/serving.py`, on an idle machine; MLflow's scoring server beside it.

Writes how fast `kintsugi serve` mends for 1, 8 and 64 clients, with MLflow's scoring server and a loop without a server
on the same export, and what becomes of 10,000 requests while the champion changes 100 times.
"""

import argparse
import base64
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import machine
import numpy as np
import pandas as pd
import torch

from components.pictures.encoding import png
from components.recipes.export import ModelCard, export_digest, load_producer, write_export
from components.recipes.inpainter import InpainterConfig
from components.recipes.recipe import PRODUCER
from components.recipes.serving import ServedRestorer
from components.tracking import registry, runs

NAME = "bench-inpainter"
SIDE_PX = 64
CLIENTS = (1, 8, 64)
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


@contextmanager
def both_servers(home: Path, export: Path) -> Iterator[dict[str, int]]:
    """Run `kintsugi serve` and MLflow's scoring server with the same model, and give their ports by name."""
    ours, theirs = free_port(), free_port()
    serve = [tool("kintsugi"), "serve", "--model", NAME, "--port", str(ours)]
    model = export.parent / "cache" / "models" / f"{NAME}-1"
    with started(serve, ours, "/readyz", home):
        score = [tool("mlflow"), "models", "serve", "-m", str(model), "--env-manager", "local", "-p", str(theirs)]
        with started(score, theirs, "/ping", home):
            yield {"kintsugi serve": ours, "MLflow's scoring server": theirs}


def speeds(ports: dict[str, int], export: Path, requests: int, rounds: int) -> list[str]:
    """Return rows of a table: requests per second, and the middle and the slowest hundredth of the answers."""
    body = json.dumps({"dataframe_records": [request_of()]}).encode()
    producer = ServedRestorer(load_producer(export))
    frame = pd.DataFrame([request_of()])
    alone = producer.predict(frame)[0]["image"]
    found: dict[tuple[str, int], list[tuple[float, list[float]]]] = {}
    for _ in range(rounds):
        for clients in CLIENTS:
            for name, port in ports.items():
                load = Load(port, "/invocations", body)
                took = load.run(clients, lambda sent: sent < requests)
                wrong = [one for one in load.answers if one.status != 200]
                assert not wrong, wrong[0].content[:300]
                assert {json.loads(one.content)["predictions"][0]["image"] for one in load.answers} == {alone}
                times = [one.ended - one.began for one in load.answers]
                found.setdefault((name, clients), []).append((len(times) / took, times))
        began = time.perf_counter()
        times = [_timed(lambda: producer.predict(frame)) for _ in range(requests // 2)]
        found.setdefault(("a loop without a server", 1), []).append((len(times) / (time.perf_counter() - began), times))
    return [
        _row(name, clients, measured) for (name, clients), measured in sorted(found.items(), key=lambda one: one[0][1])
    ]


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _row(name: str, clients: int, measured: list[tuple[float, list[float]]]) -> str:
    rates = [rate for rate, _ in measured]
    times = np.array([one for _, times in measured for one in times]) * 1000
    p50, p99 = np.percentile(times, [50, 99])
    spread = f"{statistics.median(rates):.1f} ({min(rates):.1f} to {max(rates):.1f})"
    return f"| {name} | {clients} | {spread} | {p50:.0f} | {p99:.0f} |"


def promotions(port: int, changes: int, requests: int, clients: int = 8) -> list[str]:
    """Change the champion again and again under load, and return what became of the requests, in lines."""
    load = Load(port, "/repair", json.dumps({**request_of(32), "model": NAME}).encode())
    done = threading.Event()
    thread = threading.Thread(target=load.run, args=(clients, lambda sent: sent < requests or not done.is_set()))
    thread.start()
    moments = []
    for change in range(changes):
        while len(load.answers) < change * requests // changes:
            time.sleep(0.01)
        if change % 2 == 0:
            registry.promote(NAME, 2, judged_against=1, by="bench", again=True)
        else:
            registry.rollback(NAME)
        moments.append((time.perf_counter(), "2" if change % 2 == 0 else "1"))
        while not any(
            one.version == moments[-1][1] and one.ended > moments[-1][0] for one in load.answers[-4 * clients :]
        ):
            time.sleep(0.005)
    done.set()
    thread.join()
    return _lines(load.answers, moments)


def _lines(answers: list[Answer], moments: list[tuple[float, str]]) -> list[str]:
    lost = sum(one.status != 200 for one in answers)
    pictures = {version: {one.content for one in answers if one.version == version} for version in ("1", "2")}
    live = [min(a.ended for a in answers if a.version == version and a.ended > at) - at for at, version in moments]
    late = sum(
        one.version != version and one.status == 200
        for (at, version), (until, _) in zip(moments, [*moments[1:], (float("inf"), "")], strict=True)
        for one in answers
        if at + 2 < one.began and one.ended < until
    )
    changes, ones, twos = len(moments), len(pictures["1"]), len(pictures["2"])
    return [
        f"- {len(answers):,} requests by 8 clients over {changes} changes of champion, promotions and rollbacks in turn:",
        f"  **{lost} lost**",
        f"- different pictures by version 1: {ones}, by version 2: {twos}; no answer is half by each",
        "- from the end of a promotion or rollback to the first answer by the new champion: "
        f"median {statistics.median(live):.2f} s, greatest {max(live):.2f} s",
        f"- requests that began more than 2 s after a change and were answered by the old champion: {late}",
    ]


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--requests", type=int, default=256, help="per server, number of clients and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--changes", type=int, default=100, help="of the champion")
    parser.add_argument("--under-load", type=int, default=10_000, help="requests while the champion changes")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "serving_2cores_202611.md")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ["KINTSUGI_HOME"] = folder
        runs.configure(home)
        export = register(home, 1)
        registry.promote(NAME, 1, judged_against=None)
        register(home, 2)
        with both_servers(home, export) as ports:
            rows = speeds(ports, export, asked.requests, asked.rounds)
        port = free_port()
        serve = [tool("kintsugi"), "serve", "--model", NAME, "--port", str(port)]
        with started(serve, port, "/readyz", home):
            lines = promotions(port, asked.changes, asked.under_load)
    asked.out.write_text(_page(asked, rows, lines))
    print(asked.out.read_text())


def _page(asked: argparse.Namespace, rows: list[str], lines: list[str]) -> str:
    facts = machine.facts()
    packages = facts["packages"]
    command = f"python tests/benchmarks/serving.py --requests {asked.requests} --rounds {asked.rounds}"
    return f"""# The service under load

`{command} --changes {asked.changes} --under-load {asked.under_load}`,
{facts["at"]}, commit {facts["commit"]} with {facts["changed_files"]} changed files; {facts["processor"]}, {facts["cores"]} cores,
load average {facts["load_average"]} at the end; Python {facts["python"]}, torch {packages["torch"]}, mlflow {packages["mlflow"]}.

An inpainter with the default network mends {SIDE_PX} x {SIDE_PX} pixels, one row per request to `/invocations`; all
answers are equal to the byte. {asked.rounds} rounds of {asked.requests} requests each; clients and servers share the cores.

| | clients | requests per s: median (least to greatest) | p50, ms | p99, ms |
|---|---|---|---|---|
{chr(10).join(rows)}

{chr(10).join(lines)}
"""


if __name__ == "__main__":
    main()
