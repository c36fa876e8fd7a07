"""Patience: how long a process waits for a server that is away, and what it tells people meanwhile."""

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

PATIENCE = "KINTSUGI_PATIENCE_S"
"""Variable that says for how many seconds a server may be away before this process gives up."""

_OF_A_RUN_S = 1800.0
_OF_A_COMMAND_S = 5.0  # a person waits for it
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 15.0
_SILENT_S = 1.0
_TOLD_EVERY_S = 60.0

_log = logging.getLogger(__name__)
_limit_s: float | None = None
_at_most_s: ContextVar[float] = ContextVar("at_most_s", default=math.inf)
_asked: ContextVar[threading.Event | None] = ContextVar("asked", default=None)

Answer = TypeVar("Answer")


class ServerAwayError(RuntimeError):
    """A server did not answer, or said that it cannot now; the same request may succeed later."""


class PatienceEndedError(RuntimeError):
    """A server was away for longer than this process waits; once it answers, the same command goes on."""


def is_outage(error: BaseException | None) -> bool:
    """Return whether an error came of a server that stayed away: nothing is lost, and the work may go on later."""
    while error is not None and not isinstance(error, PatienceEndedError):
        error = error.__cause__
    return error is not None


def patience_s() -> float:
    """Return for how many seconds this process, or the part of it that waits, waits for a server that is away.

    Raises:
        ValueError: KINTSUGI_PATIENCE_S is not a number of seconds.
    """
    return min(_seconds_from_environment(_OF_A_COMMAND_S) if _limit_s is None else _limit_s, _at_most_s.get())


@contextmanager
def patient_run() -> Iterator[None]:
    """Wait as long as a pipeline run does inside the block, in all threads: KINTSUGI_PATIENCE_S, or half an hour.

    Raises:
        ValueError: KINTSUGI_PATIENCE_S is not a number of seconds.
    """
    global _limit_s
    before, _limit_s = _limit_s, _seconds_from_environment(_OF_A_RUN_S)
    try:
        yield
    finally:
        _limit_s = before


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Wait no longer than `seconds` inside the block, where someone waits for this process to end."""
    token = _at_most_s.set(min(_at_most_s.get(), seconds))
    try:
        yield
    finally:
        _at_most_s.reset(token)


@contextmanager
def until(asked: threading.Event) -> Iterator[None]:
    """Wait no longer inside the block once `asked` is set, for signals wake the main thread alone."""
    token = _asked.set(asked)
    try:
        yield
    finally:
        _asked.reset(token)


def outlast(server: str, request: Callable[[], Answer]) -> Answer:
    """Return the answer to `request`, which is made again at growing intervals while the server is away.

    Args:
        server: What people call it, with its address, e.g. "MLflow at http://127.0.0.1:5000".
        request: Raises ServerAwayError while the server is away; making it twice must do no harm.

    Raises:
        PatienceEndedError: The server was away for longer than this process's patience.
    """
    limit_s, began, told, pause_s = patience_s(), time.monotonic(), 0, _FIRST_PAUSE_S
    while True:
        try:
            answer = request()
        except ServerAwayError as error:
            waited_s = time.monotonic() - began
            if waited_s >= limit_s:
                words = f"{server} does not answer, after {_in_words(waited_s)} of waiting ({error}); "
                raise PatienceEndedError(f"{words}once it does, the same command goes on from here") from error
            if waited_s >= max(_SILENT_S, told * _TOLD_EVERY_S):
                so_far = f"{_in_words(waited_s)} so far, " if told else ""
                _log.warning("%s does not answer; waiting, %sat most %s", server, so_far, _in_words(limit_s))
                told = int(waited_s // _TOLD_EVERY_S) + 1
            if _pause(min(pause_s, limit_s - waited_s)):
                raise PatienceEndedError(f"{server} does not answer ({error}), and this run ends") from error
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        else:
            if told:
                _log.warning("%s answers again, after %s", server, _in_words(time.monotonic() - began))
            return answer


def _pause(seconds: float) -> bool:
    """Return after so many seconds, or as soon as waiting is over; whether it is."""
    if (asked := _asked.get()) is None:
        time.sleep(seconds)
        return False
    return asked.wait(seconds)


def _seconds_from_environment(otherwise_s: float) -> float:
    text = os.environ.get(PATIENCE) or str(otherwise_s)
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{PATIENCE} is {text!r}, expected a number of seconds from 0, such as 600")
    return seconds


def _in_words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < _TOLD_EVERY_S else f"{seconds / _TOLD_EVERY_S:.0f} min"
