"""What became of the ranks of a launch: each rank writes its own words, the launcher reads who failed first."""

import errno
import json
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from components.servers.redaction import redact_text

EXIT_STOPPED = 3
"""Exit code of a rank that stopped on purpose and can be resumed."""

FULL_DISK = "the disk is full"
"""In the message of whatever stopped for want of room, also across processes."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LAST_WORDS = 8  # lines
_ERROR_FILE = "TORCHELASTIC_ERROR_FILE"  # torchrun sets it for each rank and reads it after a failure


class LaunchFailed(RuntimeError):  # noqa: N818 - says what happened
    """The launched processes failed; the message holds the failing rank's own words, `traceback` its call stack."""

    def __init__(self, message: str, traceback: str = "", *, lost: bool = False) -> None:
        super().__init__(message)
        self.traceback = traceback
        self.lost = lost
        """Whether a process was killed or hung: another launch may pass where an error of ours would come again."""


class Stopped(RuntimeError):  # noqa: N818 - nothing is wrong
    """The work stopped on purpose (SIGTERM, time budget, full disk) in a state that the same command resumes."""

    def __init__(self, message: str, again_in_s: float = 60.0) -> None:
        super().__init__(message)
        self.again_in_s = again_in_s
        """After how long a scheduler may resume it: what stopped it should have passed."""


class Interrupted(KeyboardInterrupt):
    """A launch was ended because its run ends, for what another of its threads met: a signal, or an error."""


def disk_is_full(error: Exception) -> bool:
    """Return whether `error`, of Python, of shutil or of safetensors, says that nothing more can be written."""
    return any(os.strerror(code) in str(error) for code in _FULL)


@contextmanager
def stopping_when_full(place: Path) -> Iterator[None]:
    """Stop in a resumable state where nothing more can be written at `place`, instead of failing.

    Raises:
        Stopped: The disk is full.
    """
    from safetensors import SafetensorError  # here: every command imports this file, and few train

    try:
        yield
    except (OSError, SafetensorError) as error:
        if not disk_is_full(error):
            raise
        where = getattr(error, "filename", None) or place
        raise Stopped(f"{FULL_DISK}, at {where}; make room and run the same command again") from error


class Reporting:
    """In a rank, around its main function: hands an exception's words to the launcher and ends the process.

    `Stopped` ends it with exit code 3, which the launcher raises again as `Stopped`. The process leaves without
    Python's finalisation, in which threads of torch's that still run now and then abort a rank whose work is done
    (https://github.com/pytorch/pytorch/issues/190489).
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, SystemExit):
            return
        code = 0
        if isinstance(error, Stopped):
            code = EXIT_STOPPED
            _report(str(error), "", code)
        elif error is not None:
            code = 1
            words = redact_text("".join(traceback.format_exception(error)))
            _report(f"{type(error).__name__}: {error}", words, code)
            sys.stderr.write(words)
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@dataclass(frozen=True)
class _Failure:
    rank: int
    code: int
    at: float
    message: str
    traceback: str


def outcome(folder: Path, code: int, first_rank: int, ranks: int) -> RuntimeError:
    """Return the error that says why the launch ended: of the first rank that failed by itself."""
    failures = sorted(_failures(folder, first_rank), key=lambda one: (one.code == -signal.SIGTERM, one.at))
    if not failures:
        words = _tail(folder / "agent.log")
        return LaunchFailed(f"torchrun ended with exit code {code}; its last words:\n{words}", lost=code < 0)
    first = failures[0]
    if first.code == EXIT_STOPPED:  # what the others say of a closed connection is only its consequence
        return Stopped(first.message)
    message = f"rank {first.rank} of {ranks} failed: {first.message}\nLogs: {folder}"
    return LaunchFailed(message, first.traceback, lost=first.code < 0)


def _failures(folder: Path, first_rank: int) -> Iterator[_Failure]:
    reports = {int(path.parent.name): path for path in folder.glob("*/attempt_0/*/error.json")}
    listed = folder / "failures.json"
    rows: list[tuple[int, int, int | None, float]] = (
        json.loads(listed.read_bytes())
        if listed.is_file()
        else [(first_rank + local, local, None, 0.0) for local in reports]
    )
    for rank, local, code, at in rows:
        if local in reports:
            yield _reported_failure(reports[local], rank, code)
        else:
            # torchrun notices up to 0.1 s late and rounds to seconds; a rank that died without a word comes before
            # the others' "connection closed".
            yield _Failure(rank, code or 1, at - 1, _silent_death(folder, local, code or 1), "")


def _reported_failure(path: Path, rank: int, code: int | None) -> _Failure:
    message: dict[str, Any] | str = json.loads(path.read_bytes())["message"]
    if isinstance(message, str):
        return _Failure(rank, code or 1, path.stat().st_mtime, message, "")
    stack = message.get("extraInfo", {}).get("py_callstack", "")
    said = message.get("errorCode", 1)
    if said != EXIT_STOPPED:  # a rank that says it stopped has saved its state, whatever ended it then
        said = code or said
    return _Failure(rank, said, path.stat().st_mtime, message["message"], stack)


def _silent_death(folder: Path, local: int, code: int) -> str:
    words = "\n".join(_tail(path) for path in folder.glob(f"*/attempt_0/{local}/stderr.log"))
    if code == EXIT_STOPPED:
        return words.splitlines()[-1] if words else "stopped; run the same command to resume"
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    hint = " (killed by hand or for lack of memory)" if code == -signal.SIGKILL else ""
    return f"ended by {name}{hint}" + (f"; its last words:\n{words}" if words else "")


def _tail(path: Path) -> str:
    if not path.is_file():
        return ""
    return redact_text("\n".join(path.read_text(errors="replace").splitlines()[-_LAST_WORDS:]))


def _report(message: str, words: str, code: int) -> None:
    """Write a rank's error file in torchrun's format (torch 2.14, elastic/multiprocessing/errors)."""
    if path := os.environ.get(_ERROR_FILE):
        facts = {"py_callstack": words, "timestamp": str(int(time.time()))}
        record = {"message": {"message": redact_text(message), "extraInfo": facts, "errorCode": code}}
        draft = Path(f"{path}.part")
        draft.write_text(json.dumps(record))
        draft.replace(path)
