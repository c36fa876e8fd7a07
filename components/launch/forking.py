"""The forkserver's process: imports once, then forks a process for each that asks (`forked.py`) and tells how it ended.

Use: python -m components.launch.forking LISTENING_DESCRIPTOR MODULES; `Forkserver` starts it. It has one thread, so
that a fork copies no lock that another thread holds, and nothing in it may use a graphics card, which a fork could not.
When the process that started it is gone it forks no more, and ends once all that it forked has ended.
"""

import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from components.launch.forked import LENGTH, STATUS
from components.launch.parent import die_with_parent

_PATIENCE_S = 5.0  # with a request that began
_LONGEST_S = 60.0  # that forked processes live on after the starter's end; theirs to end before, as after SIGTERM
_CREDENTIALS = struct.Struct("3i")  # process, user, group: socket(7), SO_PEERCRED


@dataclass(frozen=True)
class _Wish:
    """What a forked process is to run, where."""

    module: str
    arguments: list[str]
    folder: str
    variables: dict[str, str]


@dataclass(frozen=True)
class _Forked:
    """A process, the connection that stands for it, and the descriptor that tells of its end."""

    pid: int
    connection: socket.socket
    ending: int
    variables: dict[str, str]


def main() -> None:
    """Serve until the starter is gone; in a forked process, run what was asked for as `python -m` would."""
    descriptor, *modules = sys.argv[1:]
    before = dict(os.environ)
    for module in modules:
        with suppress(ImportError):  # who asks for it is told when it runs
            importlib.import_module(module)
    gc.freeze()  # so that collections in forked processes leave the pages they share as they are
    wish = _Server(socket.socket(fileno=int(descriptor))).serve()
    if wish is None:
        os._exit(0)
    _take_over(wish.variables, before)
    sys.argv = [wish.module, *wish.arguments]
    sys.modules.pop(f"{wish.module}.__main__", None)  # imported for what it imports; now it runs, from its beginning
    runpy.run_module(wish.module, run_name="__main__", alter_sys=True)


def _take_over(variables: dict[str, str], before: dict[str, str]) -> None:
    """Set this process's variables, and among them what imports have set: those they found unset are defaults."""
    defaults = {name: value for name, value in os.environ.items() if name not in before}
    forced = {name: os.environ[name] for name, value in before.items() if os.environ.get(name, value) != value}
    os.environ.clear()
    os.environ.update({**defaults, **variables, **forced})


class _Server:
    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._forked: dict[int, _Forked] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._selector.register(0, selectors.EVENT_READ, self._retire)
        self._until: float | None = None

    def serve(self) -> _Wish | None:
        """Return None at the end; in each forked process, what it is to run."""
        while self._until is None or (self._forked and time.monotonic() < self._until):
            for key, _ in self._selector.select(1.0):
                wish: _Wish | None = key.data()
                if wish is not None:
                    return wish
        for one in self._forked.values():
            os.kill(one.pid, signal.SIGKILL)
        return None

    def _retire(self) -> None:
        self._until = time.monotonic() + _LONGEST_S
        self._selector.unregister(0)
        self._selector.unregister(self._listener)
        self._listener.close()

    def _accept(self) -> _Wish | None:
        if self._until is not None:  # it retired in the same pass
            return None
        connection, _ = self._listener.accept()
        streams: list[int] = []
        try:
            connection.settimeout(_PATIENCE_S)
            request, streams = _read(connection)
            if "having" in request:
                self._tell(connection, **request)
                connection.close()
                return None
            return self._fork(_Wish(**request), streams, connection)
        except (OSError, ValueError, TypeError, struct.error):  # whoever asked is gone, or asks for something else
            connection.close()
            return None
        finally:
            for stream in streams:
                os.close(stream)

    def _tell(self, connection: socket.socket, having: tuple[str, str]) -> None:
        name, value = having
        found = [one.pid for one in self._forked.values() if one.variables.get(name) == value]
        connection.sendall(json.dumps(found).encode())

    def _fork(self, wish: _Wish, streams: list[int], connection: socket.socket) -> _Wish | None:
        connection.settimeout(None)
        pid = os.fork()
        if pid == 0:
            try:
                self._become(wish, streams, connection)
            except OSError as error:  # such as a folder that is gone
                sys.stderr.write(f"{error}\n")
                os._exit(1)  # and not on as a second server
            return wish
        one = _Forked(pid, connection, os.pidfd_open(pid), wish.variables)
        self._forked[pid] = one
        self._selector.register(connection, selectors.EVENT_READ, partial(self._pass_on, one))
        self._selector.register(one.ending, selectors.EVENT_READ, partial(self._bury, one))
        return None

    def _become(self, wish: _Wish, streams: list[int], connection: socket.socket) -> None:
        """In a forked process: be what `python -m` would have made of its folder and streams."""
        os.setsid()
        die_with_parent()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        self._selector.close()
        for one in (self._listener, connection, *(other.connection for other in self._forked.values())):
            one.close()
        for other in self._forked.values():
            os.close(other.ending)
        os.chdir(wish.folder)
        with suppress(OSError):  # what top and nvidia-smi call it
            Path("/proc/self/comm").write_text(wish.module.removeprefix("components.")[:15])

    def _pass_on(self, one: _Forked) -> None:
        """Send a process the signals that came for it, and kill it once nobody stands for it any more."""
        if one.pid not in self._forked:  # it ended in the same pass
            return
        numbers = b""
        with suppress(ConnectionError):
            numbers = one.connection.recv(64)
        if not numbers:
            self._selector.unregister(one.connection)
            os.kill(one.pid, signal.SIGKILL)
        for number in numbers:
            os.kill(one.pid, number)

    def _bury(self, one: _Forked) -> None:
        _, status = os.waitpid(one.pid, 0)
        self._selector.unregister(one.ending)
        os.close(one.ending)
        with suppress(KeyError):
            self._selector.unregister(one.connection)
        with suppress(OSError):
            one.connection.sendall(STATUS.pack(os.waitstatus_to_exitcode(status)))
        one.connection.close()
        del self._forked[one.pid]


def _read(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Return a request and the streams that came with it.

    Raises:
        ValueError, struct.error: It is from another account, or no request.
        OSError: It did not come to its end.
    """
    _, user, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    if user != os.getuid():
        raise ValueError(f"from user {user}, expected {os.getuid()}")
    head, streams, _, _ = socket.recv_fds(connection, LENGTH.size, 3)
    try:
        (left,) = LENGTH.unpack(head)
        request: dict[str, Any] = json.loads(connection.recv(left, socket.MSG_WAITALL))
    except (OSError, ValueError, struct.error):
        for stream in streams:
            os.close(stream)
        raise
    return request, streams


if __name__ == "__main__":
    main()
