"""The service under load: `python tests/benchmarks/serving.py`, on an idle machine; MLflow's scoring server beside it.

Writes how fast `kintsugi serve` mends for 1, 8 and 64 clients, with MLflow's scoring server and a loop without a server
on the same export, and what becomes of 10,000 requests while the champion changes 100 times.
"""

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import machine
import numpy as np
import pandas as pd
from load import (
    HERE,
    NAME,
    SIDE_PX,
    Answer,
    Load,
    both_servers,
    free_port,
    prepared,
    request_of,
    serve_command,
    started,
)

from components.recipes.export import load_producer
from components.recipes.serving import ServedRestorer
from components.tracking import registry

CLIENTS = (1, 8, 64)


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
        f"- {len(answers):,} requests by 8 clients over {changes} promotions and rollbacks in turn:\n  **{lost} lost**",
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
        export = prepared(home)
        with both_servers(home, export) as ports:
            rows = speeds(ports, export, asked.requests, asked.rounds)
        port = free_port()
        with started(serve_command(port), port, "/readyz", home):
            lines = promotions(port, asked.changes, asked.under_load)
    asked.out.write_text(_page(asked, rows, lines))
    print(asked.out.read_text())


def _page(asked: argparse.Namespace, rows: list[str], lines: list[str]) -> str:
    facts = machine.facts()
    packages = facts["packages"]
    command = f"python tests/benchmarks/serving.py --requests {asked.requests} --rounds {asked.rounds}"
    return f"""# The service under load

`{command} --changes {asked.changes} --under-load {asked.under_load}`,
{facts["at"]}, commit {facts["commit"]} with {facts["changed_files"]} changed files.
{facts["processor"]}, {facts["cores"]} cores, load average {facts["load_average"]} at the end;
Python {facts["python"]}, torch {packages["torch"]}, mlflow {packages["mlflow"]}.

An inpainter with the default network mends {SIDE_PX} x {SIDE_PX} pixels, one row per request to `/invocations`; all
answers are equal to the byte. {asked.rounds} rounds of {asked.requests} requests each; clients and servers share the
cores.

| | clients | requests per s: median (least to greatest) | p50, ms | p99, ms |
|---|---|---|---|---|
{chr(10).join(rows)}

{chr(10).join(lines)}
"""


if __name__ == "__main__":
    main()
