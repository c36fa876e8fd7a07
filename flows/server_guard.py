"""Server guard: a Prefect server that a run started for itself ends with the run, however that ends.

Prefect stops it when Python ends, which a kill or a lost terminal's SIGHUP does not wait for. So a process of its own,
which imports nothing but a few modules of the standard library, waits for the run's end and then ends the server.
Use: `guard_server()`; it starts `python server_guard.py PID`.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

_SERVER = "prefect.server.api.server:create_app"
_GRACE_S = 5.0
_guards: dict[int, "subprocess.Popen[bytes]"] = {}
"""By the number of the server, as long as this process lives."""


def guard_server() -> None:
    """Let the server that Prefect has started for this process end with it; without one, do nothing."""
    import psutil  # here, for the guard itself needs none

    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if child.pid not in _guards and _SERVER in child.cmdline():
                _guards[child.pid] = _start_guard(child.pid)


def _start_guard(pid: int) -> "subprocess.Popen[bytes]":
    # Its standard input ends when the last process that holds the other end does: this one, and no child of it.
    return subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, str(pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def main(pid: int) -> None:
    """Wait until standard input ends, then end the server."""
    sys.stdin.buffer.read()
    for number in (signal.SIGTERM, signal.SIGKILL):
        if _is_server(pid):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        _wait(pid)


def _wait(pid: int) -> None:
    deadline = time.monotonic() + _GRACE_S
    while _is_server(pid) and time.monotonic() < deadline:
        time.sleep(0.1)


def _is_server(pid: int) -> bool:
    """Return whether the process still is the server, and not another one that was given its number."""
    try:
        return _SERVER.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # gone; or there is no /proc, and a number alone is too little to kill by
        return False


if __name__ == "__main__":
    main(int(sys.argv[1]))
