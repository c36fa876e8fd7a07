"""How fast pages open: the leaderboard of 1,000 versions, comparisons of many runs, and MLflow's page of as many.

`python tests/benchmarks/opening.py --name leaderboard_2cores_202611` writes `results/NAME.md`. All pages are opened in
turn in one Chromium, each time in a new context, whose cache is empty, and a page with two words among them, which says
what a browser takes for nothing. Ours count as open when what stands last on them is seen, of the leaderboard how many
versions it shows; MLflow's when its newest run is seen, by when it shows 100 runs; then a frame must be painted.
"""

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import machine
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric
from playwright.sync_api import Browser, sync_playwright

from components.artifacts import write_atomically
from components.evaluation.protocol import Protocol, Score
from components.report.comparison import RunColumn, write_comparison
from components.report.content import CurvePlot, Line, ModelPage, PageContent, RunFacts, Subject
from components.report.leaderboard import Course, Mark, Reign, VersionRow, write_leaderboard

RESULTS = Path(__file__).parent / "results"
_PAINTED = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))"
_WITHIN_MS = 60_000
_FOOTER = "Made by Kintsugi. This file needs no network."
_SIDE_BY_SIDE = (8, 30)
"""Runs of a comparison: as many as `kintsugi serve` takes, and as many as a chart's legend leaves room for."""
_CURVE_POINTS = 200


@dataclass(frozen=True)
class Opening:
    """One opening of a page."""

    seconds: float
    megabytes: float
    """That crossed the network, or of the file."""
    heap_megabytes: float
    """Held by the page's script."""


def values(versions: int, scores: int) -> dict[str, list[float]]:
    """Return the values of each score, the same for equal sizes."""
    rng = np.random.Generator(np.random.Philox(7))
    return {f"score_{place:03}": rng.normal(20 + place, 3, versions).tolist() for place in range(scores)}


def write_ours(drawn: dict[str, list[float]], path: Path) -> Path:
    """Write a leaderboard of these scores."""
    start, versions = datetime(2024, 1, 1, tzinfo=UTC), len(next(iter(drawn.values())))
    verdicts = ["promote", "reject", "reject", "hold"]
    rows = [
        VersionRow(
            number=number,
            decided=start + timedelta(days=number),
            verdict=verdicts[number % 4],
            reason=f"score_000 {drawn['score_000'][number - 1]:.4f} against the champion's 20.1 is what the gate saw",
            part="champion" if number == versions else None,
            served=number % 4 == 0,
            data=str(number),
            images="400,000",
            hours=number / 100,
            marks={
                name: Mark(all_[number - 1], all_[number - 1] - 0.4, all_[number - 1] + 0.4, "a" * 20)
                for name, all_ in drawn.items()
            },
            page=f"./nightly-{number:08x}.html",
        )
        for number in range(versions, 0, -1)
    ]
    reigns = tuple(Reign(since=number, version=number) for number in range(4, versions + 1, 4))
    better = dict.fromkeys(drawn, "lower")
    course = Course(
        name="nightly-gan", family="gan", metric="score_000", better=better, rows=tuple(rows), reigns=reigns
    )
    return write_leaderboard([course], [], path)


def write_compared(drawn: dict[str, list[float]], runs: int, path: Path) -> Path:
    """Write a comparison of the first runs of these scores, each with a curve."""
    return write_comparison([RunColumn(content=_content(drawn, place)) for place in range(runs)], path)


def _content(drawn: dict[str, list[float]], place: int) -> PageContent:
    protocol = Protocol(metric="a distance", implementation="as drawn", reference="0" * 20, samples=1_000)
    scores = tuple(
        Score(
            name=name,
            value=all_[place],
            low=all_[place] - 0.4,
            high=all_[place] + 0.4,
            better="lower",
            protocol=protocol,
        )
        for name, all_ in drawn.items()
    )
    loss = tuple((step * 1_000.0, 5 / (1 + step + place % 7)) for step in range(_CURVE_POINTS))
    model = ModelPage(
        name="gan",
        subjects=(Subject(name="gan", role="model", scores=scores),),
        plots=(CurvePlot(title="loss", curves=(Line(name="loss", points=loss),)),),
    )
    finished = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=place)
    run = RunFacts(
        name=f"night-{place + 1:04}", finished=finished, config_digest=f"{place:020x}", command="kintsugi run"
    )
    return PageContent(run=run, models=(model,))


def write_theirs(drawn: dict[str, list[float]], folder: Path) -> str:
    """Fill an MLflow database with a run for each version, and return its address."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = MlflowClient(uri)
    experiment = client.create_experiment("nightly-gan", str(folder / "files"))
    for place in range(len(next(iter(drawn.values())))):
        run = client.create_run(experiment, run_name=f"night-{place + 1:04}", start_time=1_700_000_000_000 + place)
        at = run.info.start_time
        client.log_batch(run.info.run_id, [Metric(name, all_[place], at, 0) for name, all_ in drawn.items()])
        client.set_terminated(run.info.run_id)
    return uri


@contextmanager
def serving(uri: str, folder: Path) -> Iterator[str]:
    """Run MLflow's server with one process while the block runs, and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--backend-store-uri", uri], stdout=log, stderr=log, env=environment, start_new_session=True
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/health")
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def opened(browser: Browser, url: str, newest: str) -> Opening:
    """Open a page in a context of its own until the text `newest` is seen."""
    context = browser.new_context(viewport={"width": 1280, "height": 844})
    tab = context.new_page()
    session = context.new_cdp_session(tab)
    session.send("Network.enable")
    session.send("Performance.enable")
    received: list[float] = []
    session.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    begun = time.perf_counter()
    tab.goto(url, wait_until="commit")
    tab.get_by_text(newest, exact=True).first.wait_for(state="visible", timeout=_WITHIN_MS)
    tab.evaluate(_PAINTED)
    seconds = time.perf_counter() - begun
    facts = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    size = Path(url.removeprefix("file://")).stat().st_size if url.startswith("file:") else sum(received)
    context.close()
    return Opening(seconds, size / 1e6, facts["JSHeapUsedSize"] / 1e6)


def table(found: dict[str, list[Opening]]) -> str:
    """Return the openings as Markdown: median, least and greatest of each."""
    lines = ["| page | opens in | size | script's heap |", "|---|---|---|---|"]
    for name, openings in found.items():
        cells = [
            f"{statistics.median(numbers):.2f} ({min(numbers):.2f} to {max(numbers):.2f}) {unit}"
            for numbers, unit in (
                ([one.seconds for one in openings], "s"),
                ([one.megabytes for one in openings], "MB"),
                ([one.heap_megabytes for one in openings], "MB"),
            )
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="of the file in results/, such as leaderboard_2cores_202611")
    parser.add_argument("--versions", type=int, default=1000)
    parser.add_argument("--scores", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--browser", help="program to start; by default playwright's own Chromium")
    arguments = parser.parse_args()
    drawn = values(arguments.versions, arguments.scores)
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        folder = Path(place)
        nothing = folder / "nothing.html"
        nothing.write_text("<!doctype html><title>Nothing</title><p>nothing here</p>")
        begun = time.perf_counter()
        board = write_ours(drawn, folder / "leaderboard.html")
        wrote_s = time.perf_counter() - begun
        pages = {
            "A page with two words": (nothing.as_uri(), "nothing here"),
            "Kintsugi's leaderboard": (board.as_uri(), f"50 of {arguments.versions} shown"),
        }
        for runs in _SIDE_BY_SIDE:
            compared = write_compared(drawn, min(runs, arguments.versions), folder / f"compare-{runs}.html")
            pages[f"Kintsugi's comparison of {runs} runs"] = (compared.as_uri(), _FOOTER)
        browser = playwright.chromium.launch(executable_path=arguments.browser, args=["--no-sandbox"])
        with serving(write_theirs(drawn, folder), folder) as address:
            theirs = f"{address}/#/experiments/1/runs"
            pages["MLflow's runs of one experiment"] = (theirs, f"night-{arguments.versions:04}")
            found: dict[str, list[Opening]] = {name: [] for name in pages}
            for _ in range(arguments.rounds):
                for name, (url, last) in pages.items():
                    found[name].append(opened(browser, url, last))
        version = browser.version
        browser.close()
    facts = machine.facts()
    shown = {name: facts[name] for name in ("processor", "cores", "memory_gib", "commit", "load_average", "at")}
    text = "\n\n".join(
        [
            f"# {arguments.versions:,} versions, {arguments.scores} scores each",
            table(found),
            f"Median, least and greatest of n = {arguments.rounds}, opened in turn in Chromium {version} with an empty "
            "cache. The leaderboard has all versions by then, MLflow's page the first 100 runs of as many; a "
            f"comparison has a column for each run. The leaderboard took {wrote_s:.1f} s to write.",
            f"mlflow {facts['packages']['mlflow']}; " + ", ".join(f"{name} {value}" for name, value in shown.items()),
        ]
    )
    write_atomically(RESULTS / f"{arguments.name}.md", f"{text}\n".encode())
    print(text)


if __name__ == "__main__":
    main()
