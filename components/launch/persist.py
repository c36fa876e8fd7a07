"""Relaunch: start the processes of a training again when one was lost, but not for ever."""

import logging
from collections.abc import Callable
from itertools import count

from components.launch.outcome import LaunchFailed

_log = logging.getLogger(__name__)


def persist(attempt: Callable[[], None], reached: Callable[[], int | None], relaunches: int) -> None:
    """Make `attempt` until one ends well, again after each that lost a process.

    Args:
        attempt: Launches the processes and waits for them; resumes what an earlier one left.
        reached: Returns the images seen at the newest checkpoint, None if there is none.
        relaunches: Attempts after the first one.

    Raises:
        Stopped: An attempt stopped on purpose.
        LaunchFailed: An attempt failed by an error of its own, or processes were lost too often, or twice in a row
            without a new checkpoint between; the message says which.
    """
    reached_before = -1  # nowhere yet, not even before the first checkpoint
    for launches in count(1):
        lost = _try_once(attempt)
        if lost is None:
            return
        if relaunches == 0:
            raise lost
        place = reached() or 0
        if place == reached_before:
            why = f"a process was lost twice in a row with no progress after {place:,} images"
            raise LaunchFailed(f"{why}; the last time: {lost}", lost.traceback) from lost
        if launches > relaunches:
            why = f"a process was lost in each of {launches} launches, execution.relaunches allows {relaunches}"
            raise LaunchFailed(f"{why}; the last time: {lost}", lost.traceback) from lost
        reached_before = place
        _log.warning("%s; launching again from %s images", lost, f"{place:,}")


def _try_once(attempt: Callable[[], None]) -> LaunchFailed | None:
    """Make one attempt and return why a process was lost, None if none was; other failures are raised."""
    try:
        attempt()
    except LaunchFailed as error:
        if not error.lost:
            raise
        return error
    return None
