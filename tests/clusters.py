"""A real Dask scheduler and two worker processes on loopback, each worker with the nanny that starts it again."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from components.executors import DaskExecutor
from tests.processes import command_of

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
        return [child for child in children if "spawn_main" in " ".join(command_of(child))]


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@contextmanager
def running(root: Path, folder: Path, workers: int = WORKERS) -> Iterator[Cluster]:
    """Give a cluster that says what it does in `folder`, and leave none of its processes."""
    place, log = folder / "scheduler.json", (folder / "log").open("wb")
    common = ["--scheduler-file", str(place), "--no-dashboard", "--host", "127.0.0.1"]

    def start(*words: str) -> psutil.Process:
        return psutil.Popen([sys.executable, "-m", "dask", *words, *common], stdout=log, stderr=log, cwd=root)

    with log:
        scheduler = start("scheduler", "--port", "0")
        nannies = [start("worker", "--nthreads", "1") for _ in range(workers)]
        try:
            until(lambda: place.is_file() and place.read_text().endswith("}"))  # it is there before it is written
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
