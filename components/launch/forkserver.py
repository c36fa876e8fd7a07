"""Forkserver: starts processes that have imported torch already, by forking one that has.

Importing what a rank needs takes 4 s of a core, forking a process that has imported it a few hundredths. A process that
launches keeps one such server for each set of modules and of variables that libraries read as they are imported. The
server has its own session and ends with the process that keeps it.
"""

import atexit
import json
import os
import re
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import psutil

from components.launch.forked import LENGTH, connected

_STUB = Path(__file__).with_name("forked.py")
_AT_IMPORT = re.compile(
    "(ATEN|BLIS|CUDA|CUBLAS|GOMP|KMP|LD|MALLOC|MKL|NCCL|NUMEXPR|OMP|OPENBLAS|PYTHON|PYTORCH|TORCH|TORCHINDUCTOR)_?"
)
_LATER = ("CUDA_VISIBLE_DEVICES", "TORCHELASTIC_", "TORCH_ELASTIC_")  # read when a rank is at work
_ENDING_S = 5.0


@cache
def can_fork() -> bool:
    """Return whether this system has what a forkserver needs: Linux from 5.3 on, where torch may be forked."""
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


class Forkserver:
    """A process that imports `modules` once and is forked for each command."""

    def __init__(self, modules: Sequence[str], variables: Mapping[str, str], log: Path) -> None:
        """Start it; commands may be run at once and wait until it has imported.

        Args:
            modules: What it imports.
            variables: Its environment; a command has its own.
            log: File for what it says itself, which is nothing unless it fails.
        """
        self._name = f"kintsugi-{uuid.uuid4().hex}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, log.open("ab") as words:
            listener.bind(f"\0{self._name}")
            listener.listen(64)
            self._process = subprocess.Popen(
                [sys.executable, "-u", "-m", "components.launch.forking", str(listener.fileno()), *modules],
                stdin=subprocess.PIPE,
                stdout=words,
                stderr=words,
                env=dict(variables),
                pass_fds=[listener.fileno()],
                start_new_session=True,  # Ctrl-C and a killed group are for what it forked
            )

    def command(self, module: str, arguments: Sequence[str], *, tied: bool = False) -> list[str]:
        """Return the command that runs `python -m module` in a forked process.

        Args:
            module: What it runs.
            arguments: Its command line.
            tied: It dies with the process that starts it.
        """
        return [sys.executable, "-I", "-S", str(_STUB), self._name, str(int(tied)), module, *arguments]

    def having(self, variable: str, value: str) -> list[psutil.Process]:
        """Return the live forked processes whose commands had that variable, which /proc does not show of them."""
        wish = json.dumps({"having": [variable, value]}).encode()
        try:
            with connected(self._name) as server:
                server.sendall(LENGTH.pack(len(wish)) + wish)
                server.shutdown(socket.SHUT_WR)
                numbers = json.loads(server.makefile("rb").read() or b"[]")
        except OSError:  # it is gone, and what it forked went with it
            return []
        return [psutil.Process(number) for number in numbers if psutil.pid_exists(number)]

    def is_alive(self) -> bool:
        """Return whether it can still be asked."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Let it end, which it does when all that it forked has ended."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class _Kept:
    """The servers of this process."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._servers: dict[object, Forkserver] = {}

    def get(self, modules: Sequence[str], variables: Mapping[str, str], log: Path) -> Forkserver:
        read = {name: value for name, value in variables.items() if _is_read_at_import(name)}
        key = (os.getpid(), Path.cwd(), tuple(modules), tuple(sorted(read.items())))
        with self._guard:
            found = self._servers.get(key)
            if found is None or not found.is_alive():
                found = self._servers[key] = Forkserver(modules, variables, log)
            return found

    def stop(self) -> None:
        while self._servers:
            key, server = self._servers.popitem()
            if key[0] == os.getpid():  # type: ignore[index]
                server.stop()


def _is_read_at_import(name: str) -> bool:
    return _AT_IMPORT.match(name) is not None and not name.startswith(_LATER)


_KEPT = _Kept()
atexit.register(_KEPT.stop)


def kept(modules: Sequence[str], variables: Mapping[str, str], log: Path) -> Forkserver:
    """Return this process's server for these modules and variables, started if there is none or it has died.

    Args:
        modules: What it has imported.
        variables: The environment of what it is to fork.
        log: What a server that is started says itself.
    """
    return _KEPT.get(modules, variables, log)
