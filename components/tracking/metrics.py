"""Trackers: where a training loop sends numbers, pictures and texts, without ever waiting for a server or failing."""

import logging
import math
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from components.tracking.hardware import LoadSampler
from components.tracking.redaction import redact_text

if TYPE_CHECKING:
    from components.tracking.writing import Point

logger = logging.getLogger(__name__)

POINTS_PER_FLUSH = 500
POINTS_KEPT = 100_000
FILES_KEPT = 64
FILE_ATTEMPTS = 5
SAMPLE_EVERY_S = 10.0
LONGEST_PAUSE_S = 60.0

Item = TypeVar("Item")

_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_\-. /]")


class Tracker(Protocol):
    """Takes what a training loop wants kept. The place on the axis is the number of images seen."""

    def log_metrics(self, values: Mapping[str, float], images: int) -> None:
        """Keep numbers, by name."""

    def log_image(self, name: str, image: NDArray[np.uint8], images: int) -> None:
        """Keep an RGB picture of shape (height, width, 3) in the grid that shows `name` over time."""

    def log_text(self, name: str, text: str) -> None:
        """Keep a text file of this name."""

    def close(self) -> int:
        """Write what is left and return the number of points and files that were lost."""
        ...


class NullTracker:
    """Keeps nothing: for ranks other than the first, and for runs without MLflow."""

    def log_metrics(self, values: Mapping[str, float], images: int) -> None:
        """Do nothing."""

    def log_image(self, name: str, image: NDArray[np.uint8], images: int) -> None:
        """Do nothing."""

    def log_text(self, name: str, text: str) -> None:
        """Do nothing."""

    def close(self) -> int:
        """Lose nothing."""
        return 0


@dataclass
class _File:
    write: Callable[[], None]
    failures: int = 0


class MlflowTracker:
    """Writes to one MLflow run from one background thread; the caller only appends to memory.

    While the server is down, the newest 100 000 points and 64 files wait in memory and are tried again at growing
    intervals of up to a minute. Nothing is raised into the caller: losses are counted, warned of, and returned by
    `close`. Numbers that are not finite are left out and counted, because MLflow would store infinity as 1.8e308.
    """

    def __init__(
        self,
        uri: str | None,
        run_id: str,
        *,
        system_metrics: bool = False,
        flush_every_s: float = 5.0,
        close_within_s: float = 30.0,
    ) -> None:
        """Start the writer.

        Args:
            uri: MLflow's tracking URI; None for the one that the environment names.
            run_id: The run to write to; it is never made active, begun or ended here.
            system_metrics: Also write the load of processor, memory and graphics cards every ten seconds.
            flush_every_s: Longest time that a point waits while the server answers.
            close_within_s: Longest time that `close` waits for the server.
        """
        # Imported here: ranks and runs without MLflow need only NullTracker, and mlflow takes seconds to import.
        from components.tracking import writing

        self._wire = writing.RunWriter(uri, run_id)
        self._refused, self._unreachable = writing.RefusedError, writing.UnreachableError
        self._point, self._most = writing.Point, writing.POINTS_PER_REQUEST
        self._run_id = run_id
        self._flush_every_s = flush_every_s
        self._close_within_s = close_within_s
        self._sampler = LoadSampler() if system_metrics else None
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._points: deque[Point] = deque()
        self._files: deque[_File] = deque()
        self._unanswered = 0
        self._lost = 0
        self._not_finite: Counter[str] = Counter()
        self._reachable = True
        self._images = 0
        self._writer = self._start_writer()

    def log_metrics(self, values: Mapping[str, float], images: int) -> None:
        """Keep numbers, by name, at `images` seen; an underscore replaces what MLflow does not allow in names."""
        self._images = images
        finite = {}
        for name, value in values.items():
            if math.isfinite(value):
                finite[name] = value
            else:
                self._count_not_finite(name, value, images)
        waiting = self._keep_points(finite)
        if waiting >= POINTS_PER_FLUSH and self._reachable:
            self._wake.set()
        self._keep_writing()

    def log_image(self, name: str, image: NDArray[np.uint8], images: int) -> None:
        """Keep an RGB picture of shape (height, width, 3); MLflow shows `name` as a grid with a slider over images."""
        self._keep_file(partial(self._wire.image, _allowed(name), np.array(image, dtype=np.uint8), images))

    def log_text(self, name: str, text: str) -> None:
        """Keep a text file of this name, secrets redacted."""
        self._keep_file(partial(self._wire.text, name, redact_text(text)))

    def close(self) -> int:
        """Write what is left, waiting a bounded time, and return the number of points and files that were lost."""
        self._keep_writing()
        self._closing.set()
        self._wake.set()
        self._writer.join(self._close_within_s)
        with self._lock:
            lost = self._lost + self._unanswered + len(self._points) + len(self._files)
        if lost:
            logger.warning("MLflow did not take %d points and files of run %s; they are lost", lost, self._run_id)
        if self._not_finite:
            logger.warning("left out because they were not finite: %s", dict(self._not_finite))
        return lost

    def _start_writer(self) -> threading.Thread:
        writer = threading.Thread(target=self._write, name="mlflow-writer", daemon=True)
        writer.start()
        return writer

    def _keep_writing(self) -> None:
        """Start a new writer if an error of a kind that nobody foresaw ended the last; its traceback was shown."""
        if self._closing.is_set() or self._writer.is_alive():
            return
        with self._lock:
            self._lost, self._unanswered = self._lost + self._unanswered, 0
        self._writer = self._start_writer()

    def _keep_points(self, values: Mapping[str, float]) -> int:
        """Append points at the present number of images and return how many wait."""
        now_ms = int(time.time() * 1000)
        points = [self._point(_allowed(name), float(value), now_ms, self._images) for name, value in values.items()]
        with self._lock:
            self._points.extend(points)
            self._forget_oldest()
            return len(self._points)

    def _keep_file(self, write: Callable[[], None]) -> None:
        with self._lock:
            self._files.append(_File(write))
            self._forget_oldest()
        self._keep_writing()

    def _forget_oldest(self) -> None:
        while len(self._points) > POINTS_KEPT:
            self._points.popleft()
            self._lost += 1
        while len(self._files) > FILES_KEPT:
            self._files.popleft()
            self._lost += 1

    def _count_not_finite(self, name: str, value: float, images: int) -> None:
        if name not in self._not_finite:
            logger.warning("%s is %s at %d images; left out of MLflow, as are later ones", name, value, images)
        self._not_finite[name] += 1

    def _write(self) -> None:
        """Flush and sample until closed; then flush until nothing is left or the time for it is over."""
        pause_s = self._flush_every_s
        next_sample = time.monotonic()
        while not self._closing.is_set():
            self._wake.wait(pause_s if self._sampler is None else min(pause_s, SAMPLE_EVERY_S))
            self._wake.clear()
            if self._sampler is not None and time.monotonic() >= next_sample:
                self._keep_points(self._sampler.sample())
                next_sample = time.monotonic() + SAMPLE_EVERY_S
            self._reachable = self._flush()
            pause_s = self._flush_every_s if self._reachable else min(2 * pause_s, LONGEST_PAUSE_S)
        end = time.monotonic() + self._close_within_s
        self._flush()
        while (self._points or self._files) and time.monotonic() < end:
            time.sleep(min(1.0, self._close_within_s / 10))
            self._flush()

    def _flush(self) -> bool:
        """Send all that waits; return False if the server does not take points."""
        while self._points:
            batch = self._take(self._points, self._most)
            if not self._attempt(partial(self._wire.points, batch)):
                with self._lock:
                    self._unanswered = 0
                    self._points.extendleft(reversed(batch))
                    self._forget_oldest()
                return False
        for _ in range(len(self._files)):
            file = self._take(self._files, 1)[0]
            if not self._attempt(file.write):
                self._put_off(file)
                break
        return True

    def _take(self, waiting: deque[Item], most: int) -> list[Item]:
        with self._lock:
            taken = [waiting.popleft() for _ in range(min(most, len(waiting)))]
            self._unanswered = len(taken)
        return taken

    def _put_off(self, file: _File) -> None:
        """Let the other files go first; give up one that fails again and again while points get through."""
        file.failures += 1
        with self._lock:
            self._unanswered = 0
            if file.failures < FILE_ATTEMPTS:
                self._files.append(file)
                self._forget_oldest()
            else:
                self._lost += 1

    def _attempt(self, send: Callable[[], None]) -> bool:
        """Return False if sending failed and may succeed later; what is refused for good is counted as lost."""
        try:
            send()
        except self._unreachable as error:
            if self._reachable:
                logger.warning("MLflow does not answer; keeping points in memory: %s", redact_text(str(error)))
            return False
        except self._refused as error:
            logger.warning("MLflow refuses what run %s sends: %s", self._run_id, redact_text(str(error)))
            with self._lock:
                self._lost += self._unanswered
        with self._lock:
            self._unanswered = 0
        return True


def _allowed(name: str) -> str:
    return _NOT_IN_NAMES.sub("_", name)
