"""Limits: when a launch is given up, and the heartbeat by which its ranks tell that work goes on."""

import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from components.launch.outcome import Interrupted, LaunchFailed

HEARTBEAT = "KINTSUGI_HEARTBEAT"
_START_S = 300.0


def heartbeat() -> None:
    """In a rank: tell the launcher that work goes on, if it asked to be told. Cheap enough for every step."""
    if path := os.environ.get(HEARTBEAT):
        Path(path).touch()


@dataclass(frozen=True)
class Limits:
    """When a launch is given up."""

    timeout_s: float | None = None
    """Longest time the whole launch may take; None sets no limit."""
    heartbeat: Path | None = None
    """File that `heartbeat()` touches in the ranks."""
    heartbeat_timeout_s: float | None = None
    """Longest time between two touches; before the first one it is at least 300 s."""
    asked: threading.Event | None = None
    """Set by another thread to end the launch, for signals reach the main thread alone."""


NO_LIMITS = Limits()
"""Until it ends by itself."""


class Hung(LaunchFailed):
    """The ranks made no progress."""


@dataclass
class Watch:
    """Tells when a limit is passed."""

    limits: Limits
    _started: float = field(default_factory=time.monotonic)
    _last: float = field(default_factory=time.monotonic)
    _stamp: int = 0
    _beats: int = 0

    def __post_init__(self) -> None:
        self._stamp = self._last_heartbeat()

    def check(self) -> None:
        """Raise LaunchFailed when a limit is passed, Interrupted when the launch is asked to end."""
        now, limits = time.monotonic(), self.limits
        if limits.asked is not None and limits.asked.is_set():
            raise Interrupted("asked to end")
        if limits.timeout_s is not None and now - self._started > limits.timeout_s:
            raise LaunchFailed(f"not finished within its time limit of {limits.timeout_s:g} s")
        if limits.heartbeat_timeout_s is None:
            return
        if (stamp := self._last_heartbeat()) != self._stamp:
            self._stamp, self._last, self._beats = stamp, now, self._beats + 1
        limit_s = limits.heartbeat_timeout_s if self._beats else max(_START_S, limits.heartbeat_timeout_s)
        if now - self._last > limit_s:
            words = f"no progress for {limit_s:g} s: {limits.heartbeat} was not touched, a rank may hang"
            raise Hung(words, lost=True)

    def _last_heartbeat(self) -> int:
        with suppress(FileNotFoundError):
            return self.limits.heartbeat.stat().st_mtime_ns if self.limits.heartbeat else 0
        return 0
