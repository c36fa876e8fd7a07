"""A real Dask scheduler and two worker processes on loopback, each worker with the nanny that starts it again."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from components.executors import DaskExecutor

WORKERS = 2


@dataclass(frozen=True)
class Cluster:
    """A scheduler's address, and the processes that watch over its workers."""

    address: str
    nannies: tuple[psutil.Process, ...]

    @property
    def executor(self) -> DaskExecutor:
        return DaskExecutor(scheduler=self.address)

    @property
    def workers(self) -> list[psutil.Process]:
        """The processes that work now."""
        children = (child for nanny in self.nannies for child in nanny.children())
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="session")
def started(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("dask")
    place, log = folder / "scheduler.json", (folder / "log").open("wb")
    dask = [sys.executable, "-m", "dask"]
    common = ["--scheduler-file", str(place), "--no-dashboard", "--host", "127.0.0.1"]

    def start(*words: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([*dask, *words, *common], stdout=log, stderr=log, cwd=root)

    with log:
        scheduler = start("scheduler", "--port", "0")
        workers = [start("worker", "--nthreads", "1") for _ in range(WORKERS)]
        try:
            until(place.is_file)
            yield Cluster(json.loads(place.read_text())["address"], tuple(psutil.Process(one.pid) for one in workers))
        finally:
            for one in (*workers, scheduler):  # killed, for a worker that closes waits for a scheduler to take leave of
                for child in psutil.Process(one.pid).children(recursive=True):
                    child.kill()
                one.kill()
                one.wait()


@pytest.fixture
def cluster(started: Cluster) -> Cluster:
    """The cluster with both its workers, whatever befell them in another test."""
    until(lambda: f"workers {WORKERS}," in started.executor.describe())
    return started
