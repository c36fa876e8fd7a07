"""Side by side: several models of a run at once, each in a thread here, whose launches are processes of their own."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import TypeVar

from components.config import RunConfig
from components.launch.processors import cards_to_hold
from components.servers.patience import until

_Result = TypeVar("_Result")


def models_at_once(run: RunConfig) -> int:
    """Return how many models of `run` this host works on at once.

    Hosts that train a model together must come to it together, and so take their models one after the other.
    """
    executions = [model.execution for model in run.models.values()]
    if any(execution.nodes > 1 for execution in executions):
        return 1
    asked = run.models_at_once or cards_to_hold() // min(execution.processes for execution in executions)
    return max(1, min(asked, len(executions)))


def side_by_side(jobs: Sequence[Callable[[], _Result]], at_once: int, asked: threading.Event) -> list[_Result]:
    """Return what the jobs return, in their order, having run so many of them at once.

    What one of them raises ends the others, and so does a signal, which reaches the main thread alone: `asked` is set,
    launches end with checkpoints, nobody waits for a server any longer. Then it is raised again.
    """

    def run(job: Callable[[], _Result]) -> _Result:
        with until(asked):
            return job()

    with ThreadPoolExecutor(at_once, thread_name_prefix="model") as threads:
        futures = [threads.submit(copy_context().run, run, job) for job in jobs]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            _raise_first(futures)
            return [future.result() for future in futures]
        finally:
            asked.set()
            for future in futures:
                future.cancel()


def _raise_first(futures: Sequence["Future[_Result]"]) -> None:
    """Raise what any of the finished jobs has raised."""
    for future in futures:
        if future.done() and (error := future.exception()) is not None:
            raise error
