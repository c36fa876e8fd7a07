"""Background: work in threads that end with the process, a few at a time; looking again at what may have changed."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from queue import LifoQueue, SimpleQueue
from typing import Generic, TypeVar

from components.serving.measuring import Measures
from components.serving.refusal import Refusal
from components.serving.settings import Limits

Result = TypeVar("Result")

_log = logging.getLogger(__name__)
_EVERY_S = 2.0
_LATE_S = 10.0
_FIRST_PATIENCE_S, _PATIENCE_S = 10.0, 2.0


class Deadline:
    """When a job must end: after its time, or as soon as the service is stopped."""

    def __init__(self, seconds: float, stopping: threading.Event) -> None:
        self._end = time.monotonic() + seconds
        self._stopping = stopping

    def check(self) -> None:
        """Go on only if there is time left.

        Raises:
            Refusal: The time is over, or the service is being stopped.
        """
        if self._stopping.is_set():
            raise Refusal(503, "the service is being stopped")
        if time.monotonic() > self._end:
            raise Refusal(503, "this took too long; try a smaller picture")


class Workers:
    """Runs jobs in threads: some at once, some waiting, and the others are refused at once."""

    def __init__(self, limits: Limits, measures: Measures) -> None:
        self._limits, self._measures = limits, measures
        self._free = asyncio.Semaphore(limits.jobs)
        self._hands = _Hands(limits.jobs)
        self._waiting = 0
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let jobs that look at their deadline end."""
        self._stopping.set()
        self._hands.stop()

    async def run(self, job: Callable[[Deadline], Result]) -> Result:
        """Return what `job` returns, once its turn has come.

        Raises:
            Refusal: Too many wait already, or it took too long. A job that goes on keeps its place.
        """
        await self._turn()
        self._measures.working.inc()
        deadline = Deadline(self._limits.job_s, self._stopping)
        running = in_thread(lambda: job(deadline), self._hands.take)
        running.add_done_callback(self._done)
        try:
            async with asyncio.timeout(self._limits.job_s + 1):
                return await asyncio.shield(running)
        except TimeoutError as error:
            raise Refusal(503, f"this took longer than {self._limits.job_s:g} s; try a smaller picture") from error

    async def _turn(self) -> None:
        if self._free.locked() and self._waiting >= self._limits.waiting:
            raise Refusal(429, "too many requests wait already; try again in a moment", retry_after_s=2)
        self._waiting += 1
        self._measures.waiting.inc()
        try:
            async with asyncio.timeout(self._limits.job_s):
                await self._free.acquire()
        except TimeoutError as error:
            raise Refusal(503, "other requests took too long; try again in a moment", retry_after_s=10) from error
        finally:
            self._waiting -= 1
            self._measures.waiting.dec()

    def _done(self, running: "asyncio.Future[Result]") -> None:
        self._free.release()
        self._measures.working.dec()
        if not running.cancelled():
            running.exception()  # also one that nobody waits for any more counts as seen


class Refresher:
    """Calls `look` when somebody asks and the last look began a while ago; one call at a time.

    Nobody waits long: what was seen before stays in use while a look takes its time or fails.
    """

    def __init__(
        self,
        what: str,
        look: Callable[[], None],
        away: tuple[type[Exception], ...],
        *,
        every_s: float = _EVERY_S,
        stale_s: float = _EVERY_S,
    ) -> None:
        """Prepare to look.

        Args:
            what: Named in the log.
            look: Blocking; runs in a thread of its own.
            away: What `look` raises when its source cannot be reached or trusted for now.
            every_s: How long a look counts as recent.
            stale_s: How old what was seen may be before a request waits for the next look.
        """
        self._what, self._look, self._away = what, look, away
        self._every_s, self._stale_s = every_s, stale_s
        self._began = self._seen_from = -every_s
        self._running: asyncio.Future[None] | None = None
        self._failing = False
        self._seen_at = datetime.now(UTC)
        self.seen = False
        """Whether any look succeeded."""

    @property
    def stale_since(self) -> datetime | None:
        """When the last look that succeeded began, if the one after it failed or takes long; else None."""
        is_late = self._running is not None and time.monotonic() - self._began > _LATE_S
        return self._seen_at if self._failing or is_late else None

    def look_again(self, every_s: float | None = None) -> None:
        """Begin to look, unless that was done a moment ago, or in the last `every_s` seconds."""
        if self._running is None and time.monotonic() - self._began >= (every_s or self._every_s):
            self._began = time.monotonic()
            self._running = in_thread(self._attempt)
            self._running.add_done_callback(self._done)

    async def fresh(self) -> None:
        """Look, unless that was done a moment ago, and wait a little for the outcome."""
        self.look_again()
        patience_s = self._began + (_PATIENCE_S if self.seen else _FIRST_PATIENCE_S) - time.monotonic()
        is_stale = not self.seen or time.monotonic() - self._seen_from > self._stale_s
        if self._running is not None and is_stale and not self._failing and patience_s > 0:
            await asyncio.wait({self._running}, timeout=patience_s)

    def _attempt(self) -> None:
        began, began_at = time.monotonic(), datetime.now(UTC)
        try:
            self._look()
        except self._away as error:
            if not self._failing:
                _log.warning("%s: %s; what was seen before stays in use", self._what, error)
            self._failing = True
            return
        if self._failing:
            _log.warning("%s: there again", self._what)
        self.seen, self._failing, self._seen_from, self._seen_at = True, False, began, began_at

    def _done(self, running: "asyncio.Future[None]") -> None:
        self._running = None
        if not running.cancelled() and (error := running.exception()) is not None:
            self._failing = True
            _log.error("%s: unforeseen", self._what, exc_info=error)


class _Hands:
    """Threads that stay, the last one that became free first: it finds the memory warm that its last pass has left."""

    def __init__(self, count: int) -> None:
        self._idle: LifoQueue[SimpleQueue[Callable[[], None] | None]] = LifoQueue()
        self._all = [SimpleQueue[Callable[[], None] | None]() for _ in range(count)]
        for tasks in self._all:
            self._idle.put(tasks)
            threading.Thread(target=self._work, args=(tasks,), daemon=True).start()

    def take(self, task: Callable[[], None]) -> None:
        """Let a thread that is free, or will be in a moment, carry out a task, which raises nothing."""
        self._idle.get().put(task)

    def stop(self) -> None:
        """Let the threads end after what they were given by now."""
        for tasks in self._all:
            tasks.put(None)

    def _work(self, tasks: "SimpleQueue[Callable[[], None] | None]") -> None:
        while (task := tasks.get()) is not None:
            task()
            self._idle.put(tasks)


def _in_a_new_thread(task: Callable[[], None]) -> None:
    threading.Thread(target=task, daemon=True).start()


def in_thread(
    work: Callable[[], Result], begin: Callable[[Callable[[], None]], None] = _in_a_new_thread
) -> "asyncio.Future[Result]":
    """Start `work` in a thread that does not keep the process from ending, and return its outcome to come.

    Args:
        work: What to do.
        begin: Finds the thread; a new one by default.
    """
    settling = _Settling[Result](asyncio.get_running_loop())

    def run() -> None:
        with settling:
            settling.result = work()

    begin(run)
    return settling.outcome


class _Settling(Generic[Result]):
    """Around work in a thread: hands its result or exception to whoever awaits the outcome in the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.outcome: asyncio.Future[Result] = loop.create_future()
        self.result: Result | None = None

    def __enter__(self) -> None:
        return

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._settle, error)
        return isinstance(error, Exception)

    def _settle(self, error: BaseException | None) -> None:
        if self.outcome.cancelled():
            return
        if error is not None:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(self.result)  # type: ignore[arg-type]
