"""The executor `local`: threads of this process."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Literal, TypeVar

from pydantic import Field

from components.executors.executor import Crew, ExecutorSection
from components.workspace import threads_per_process

_Result = TypeVar("_Result")


class LocalExecutor(ExecutorSection):
    """Threads of this machine; files from outside are decoded in processes that they may break."""

    kind: Literal["local"] = "local"
    """This machine."""
    workers: int | None = Field(default=None, ge=1)
    """How many are at work at once; None: one for each core."""

    @property
    def at_work(self) -> int:
        """How many are at work at once."""
        return self.workers or threads_per_process()

    @contextmanager
    def open(self) -> Iterator[Crew]:
        """Give that many threads."""
        pool = ThreadPoolExecutor(self.at_work, thread_name_prefix="partitions")
        try:
            yield _Threads(pool, self.at_work)
        finally:
            pool.shutdown(cancel_futures=True)

    def describe(self) -> str:
        """Return how many."""
        return f"this machine, workers {self.at_work}"


class _Threads(Crew):
    def __init__(self, pool: ThreadPoolExecutor, threads: int) -> None:
        self._pool = pool
        self._threads = threads

    @property
    def at_once(self) -> int:
        return self._threads + 1

    def submit(self, function: Callable[..., _Result], *arguments: object) -> "Future[_Result]":
        return self._pool.submit(function, *arguments)
