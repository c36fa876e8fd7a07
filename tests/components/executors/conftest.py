"""A real Dask scheduler and two worker processes on loopback, each worker with the nanny that starts it again."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from components.executors import DaskExecutor

WORKERS = 2


@dataclass(frozen=True)
class Cluster:
    """A scheduler and its address, and the processes that watch over its workers."""

    address: str
    scheduler: psutil.Process
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


@contextmanager
def running(root: Path, folder: Path, workers: int) -> Iterator[Cluster]:
    place, log = folder / "scheduler.json", (folder / "log").open("wb")
    common = ["--scheduler-file", str(place), "--no-dashboard", "--host", "127.0.0.1"]

    def start(*words: str) -> psutil.Process:
        return psutil.Popen([sys.executable, "-m", "dask", *words, *common], stdout=log, stderr=log, cwd=root)

    with log:
        scheduler = start("scheduler", "--port", "0")
        nannies = [start("worker", "--nthreads", "1") for _ in range(workers)]
        try:
            until(place.is_file)
            cluster = Cluster(json.loads(place.read_text())["address"], scheduler, tuple(nannies))
            until(lambda: f"workers {workers}," in cluster.executor.describe())
            yield cluster
        finally:
            for one in (*nannies, scheduler):  # killed, for a worker that closes waits for a scheduler to take leave of
                with suppress(psutil.NoSuchProcess):
                    for child in one.children(recursive=True):
                        child.kill()
                    one.kill()
                one.wait()


@pytest.fixture(scope="session")
def started(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(root, tmp_path_factory.mktemp("dask"), WORKERS) as cluster:
        yield cluster


@pytest.fixture
def cluster(started: Cluster) -> Cluster:
    """The cluster with both its workers, whatever befell them in another test."""
    until(lambda: f"workers {WORKERS}," in started.executor.describe())
    return started


@pytest.fixture
def mortal(root: Path, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster of one worker that no other test needs."""
    with running(root, tmp_path, 1) as cluster:
        yield cluster
