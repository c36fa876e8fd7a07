"""Watching: who is shown the progress of the stages in this process; by default, the log."""

import logging
import time
from contextvars import ContextVar

from components.stages.site import Progress

_EVERY_S = 10.0
_log = logging.getLogger(__name__)


class LogProgress:
    """Writes a line when a stage begins and ends, and every ten seconds between."""

    def __init__(self) -> None:
        self._written: dict[str, float] = {}

    def __call__(self, stage: str, done: int, total: int | None, note: str = "") -> None:
        """Write a line if it is time for one."""
        now = time.monotonic()
        if done != total and now - self._written.get(stage, float("-inf")) < _EVERY_S:
            return
        self._written[stage] = now
        share = f"{done:,} of {total:,}" if total else f"{done:,}"
        _log.info("%s: %s %s", stage, share, note)


watcher: ContextVar[Progress] = ContextVar("watcher", default=LogProgress())  # noqa: B039 - its only state is when it last wrote
