"""Watching: who is shown the progress of the stages in this process; by default, the log."""

import logging
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the stages import torch, and a command that only watches or helps should not
    from components.stages.site import Progress

_EVERY_S = 10.0


class LineProgress:
    """Writes a line when a stage begins and ends, and every ten seconds between."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._written: dict[str, float] = {}

    def __call__(self, stage: str, done: int, total: int | None, note: str = "") -> None:
        """Write a line if it is time for one."""
        now = time.monotonic()
        if done != total and now - self._written.get(stage, float("-inf")) < _EVERY_S:
            return
        self._written[stage] = now
        share = f"{done:,} of {total:,}" if total else "begun" if not done else f"{done:,}"
        self._write(f"{stage}: {share}  {note}".rstrip())


watcher: "ContextVar[Progress]" = ContextVar("watcher", default=LineProgress(logging.getLogger(__name__).info))  # noqa: B039
