"""The executor `dask`: workers of a Dask cluster, which are sent bytes and send bytes back. The only door to Dask."""

import logging
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from pydantic import field_validator

from components.executors.executor import Answer, Crew, ExecutorSection
from components.executors.sameness import checked, differences, own_facts
from components.workspace import threads_per_process

if TYPE_CHECKING:
    from distributed import Client, Future

ADDRESS = "DASK_SCHEDULER_ADDRESS"
"""Dask's own variable."""
_LOGS = ("distributed", "distributed.client")
"""Those of Dask's loggers that have a level of their own and speak of connections."""
_ANY_PORT = "127.0.0.1:0"
_CONNECT_S = 5.0
_LOOK_S = 5.0
_ABANDONED_S = 60.0
"""A scheduler without a worker for so long is not waited for any longer."""
_AHEAD = 2
"""Partitions under way for each thread of a worker: one that is worked on, one that is on its way."""
_RETRIES = 2
"""Times that a partition whose function failed is given to a worker again, for it may have been the machine's doing."""

_Result = TypeVar("_Result")


class ClusterError(RuntimeError):
    """The cluster was lost on the way; the same call goes on with what was done."""


class DaskExecutor(ExecutorSection):
    """Workers of a Dask cluster. They need this program and its libraries, no files, no store and no keys."""

    kind: Literal["dask"] = "dask"
    """Workers of a Dask cluster; needs `kintsugi[dask]`."""
    scheduler: str | None = None
    """Address of a scheduler, such as tcp://host:8786. None: DASK_SCHEDULER_ADDRESS, or where that is not set a cluster
    on this machine, one process for each core."""

    @field_validator("scheduler")
    @classmethod
    def _is_an_address(cls, scheduler: str | None) -> str | None:
        if scheduler is not None and not re.fullmatch(r"[a-z]+://[^\s/@]+:\d+", scheduler):
            raise ValueError(f"{scheduler!r}: expected an address such as tcp://host:8786")
        return scheduler

    @contextmanager
    def open(self) -> Iterator[Crew]:
        """Give the cluster's workers.

        Raises:
            ValueError: There is no Dask here, no scheduler at the address, or a worker that would make other bytes.
            ClusterError: The cluster was lost meanwhile.
        """
        named = self.address or "127.0.0.1"
        with _connected(self.address) as client, _in_words(named):
            _demand_sameness(client, named)
            yield _Workers(client, named)

    def describe(self) -> str:
        """Return how many workers there are.

        Raises:
            ValueError: They cannot be reached, or one would make other bytes.
        """
        if self.address is None:
            _library()
            return "a Dask cluster on this machine, one process for each core"
        with _connected(self.address) as client:
            workers = _demand_sameness(client, self.address)
            threads = client.scheduler_info(n_workers=0)["total_threads"]
        same = f"{', '.join(own_facts())} as here" if workers else f"start some: `dask worker {self.address}`"
        return f"Dask at {self.address}: workers {workers}, threads {threads}; {same}"

    @property
    def address(self) -> str | None:
        """Where the scheduler is; None for a cluster of this machine that is started when it is needed."""
        return self.scheduler or os.environ.get(ADDRESS) or None


class _Workers(Crew):
    """The workers that a scheduler has at any time."""

    def __init__(self, client: "Client", address: str) -> None:
        self._client = client
        self._address = address
        self._here = own_facts()
        self._threads, self._looked_s = 1, float("-inf")
        self._seen_s = time.monotonic()

    @property
    def at_once(self) -> int:
        if time.monotonic() - self._looked_s > _LOOK_S:
            self.look()
        return _AHEAD * self._threads

    def submit(self, function: Callable[..., _Result], *arguments: object) -> Answer[_Result]:
        future = self._client.submit(checked, self._here, function, *arguments, pure=False, retries=_RETRIES)
        return _DaskAnswer(future, self)

    def look(self) -> None:
        """See how many workers there are.

        Raises:
            ClusterError: There has been none for too long, or the scheduler is gone.
        """
        self._looked_s = time.monotonic()
        try:
            threads = self._client.scheduler_info(n_workers=0)["total_threads"]
        except OSError as error:
            raise _lost(self._address) from error
        if threads:
            self._threads, self._seen_s = threads, self._looked_s
        elif self._looked_s - self._seen_s > _ABANDONED_S:
            raise ClusterError(
                f"the Dask scheduler at {self._address} has had no worker for {_ABANDONED_S:.0f} s: start some "
                f"(`dask worker {self._address}`), then the same command goes on"
            )


class _DaskAnswer(Generic[_Result]):
    def __init__(self, future: "Future[_Result]", workers: _Workers) -> None:
        self._future = future
        self._workers = workers

    def result(self) -> _Result:
        while True:
            try:
                return self._future.result(timeout=_LOOK_S)
            except TimeoutError:
                if self._future.done():  # meanwhile; or the function itself raised it
                    return self._future.result()
                self._workers.look()


def _library() -> ModuleType:
    """Return Dask's distributed.

    Raises:
        ValueError: It is not installed.
    """
    try:
        import distributed
    except ImportError as error:
        advice = "pip install 'kintsugi[dask]'"
        raise ValueError(f"executor.kind is dask, but {error.name} is not installed: {advice}") from error
    return distributed


@contextmanager
def _connected(address: str | None) -> Iterator["Client"]:
    """Give a client of the scheduler, or of one that is started here and lasts as long as the block."""
    distributed = _library()
    with _quiet(), _client(distributed, address) as client:
        yield client


@contextmanager
def _client(distributed: ModuleType, address: str | None) -> Iterator["Client"]:
    if address is None:
        workers = {"n_workers": threads_per_process(), "threads_per_worker": 1}
        with (
            distributed.LocalCluster(**workers, dashboard_address=_ANY_PORT) as cluster,
            distributed.Client(cluster, set_as_default=False) as client,
        ):
            yield client
        return
    try:
        client = distributed.Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"no Dask scheduler answers at {address}: start one there (`dask scheduler`), name another one in "
            f"executor.scheduler or {ADDRESS}, or leave executor out to work on this machine alone"
        ) from error
    with client:
        yield client


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask in this process from logging the stacks of what is said here in words, and from minding large files."""
    levels = {log: log.level for log in map(logging.getLogger, _LOGS)}
    for log in levels:
        log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph")
            yield
    finally:
        for log, level in levels.items():
            log.setLevel(level)


@contextmanager
def _in_words(address: str) -> Iterator[None]:
    """Say what is lost in words that tell what to do."""
    distributed = _library()
    try:
        yield
    except distributed.KilledWorker as error:
        raise ClusterError(f"a partition was given up, for each worker that had it was lost: {error}") from error
    except (CancelledError, distributed.comm.CommClosedError) as error:
        raise _lost(address) from error


def _lost(address: str) -> ClusterError:
    return ClusterError(f"the Dask scheduler at {address} was lost; start it again, then the same command goes on")


def _demand_sameness(client: "Client", address: str) -> int:
    """Return how many workers there are. The scheduler must have the program, too, for it reads what it passes on.

    Raises:
        ValueError: One of them would make other bytes, or lacks the program.
    """
    try:
        there = {f"scheduler at {address}": client.run_on_scheduler(own_facts)}
    except ImportError as error:
        there = {f"scheduler at {address}": error}
    workers = client.run(own_facts, on_error="return")
    there |= {f"worker at {worker}": facts for worker, facts in workers.items()}
    for who, facts in there.items():
        wrong = [str(facts)] if isinstance(facts, Exception) else differences(own_facts(), facts)
        if wrong:
            raise ValueError(f"the Dask {who} does not fit: {'; '.join(wrong)}; install there what is installed here")
    return len(workers)
