"""Server guard: a Prefect server that a run started for itself ends with the run, however that ends.

Prefect stops it when Python ends, which a kill or a lost terminal's SIGHUP does not wait for. So a process of its own,
which imports nothing but a few modules of the standard library, waits for the run's end and then ends the server. It
knows the server by a mark in its variables, so that one is found that was still starting when the run was killed.
Use: `guard_server()`, before Prefect starts anything; it starts `python server_guard.py MARK`.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_SERVER = b"prefect.server.api.server:create_app"
_MARK = "KINTSUGI_SERVER_OF"
_GRACE_S = 5.0
_guards: dict[int, "subprocess.Popen[bytes]"] = {}
"""By the number of the process that is guarded: a forked one has none yet."""


def guard_server() -> None:
    """Let the server that Prefect starts for this process end with it, and one that it has started already."""
    own = os.getpid()
    if own in _guards:
        return
    mark = os.environ[_MARK] = f"{own}-{time.time_ns()}"
    begun = [str(pid) for pid in _servers() if _parent(pid) == own]
    # Its standard input ends when the last process that holds the other end does: this one, and no child of it.
    _guards[own] = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, mark, *begun],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def main(mark: str, *begun: str) -> None:
    """Wait until standard input ends, then end the servers that have the mark, and those that had begun before."""
    sys.stdin.buffer.read()
    variable = f"{_MARK}={mark}".encode()
    ours = [pid for pid in _servers() if str(pid) in begun or variable in _read(pid, "environ").split(b"\0")]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in ours:
            if _is_server(pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        _wait(ours)


def _wait(pids: list[int]) -> None:
    deadline = time.monotonic() + _GRACE_S
    while any(map(_is_server, pids)) and time.monotonic() < deadline:
        time.sleep(0.1)


def _servers() -> Iterator[int]:
    """Yield the numbers of all Prefect servers of this kind; none where there is no /proc."""
    with suppress(OSError):
        yield from (
            int(place.name) for place in Path("/proc").iterdir() if place.name.isdigit() and _is_server(place.name)
        )


def _is_server(pid: int | str) -> bool:
    """Return whether the process still is a server, and not another one that was given its number."""
    return _SERVER in _read(pid, "cmdline")


def _parent(pid: int) -> int:
    """Return the number of a process's parent, which stands after its name and its state; 0 if it is gone."""
    return int((_read(pid, "stat").rpartition(b")")[2].split() or [b"", b"0"])[1])


def _read(pid: int | str, file: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{file}").read_bytes()
    except OSError:  # gone, or somebody else's
        return b""


if __name__ == "__main__":
    main(*sys.argv[1:])
