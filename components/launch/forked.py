"""Stands for a forked process: hands its variables, folder and streams to a forkserver, then ends as that one ends.

Use: python -I -S forked.py NAME TIED MODULE ARGUMENTS, which is what `Forkserver.command` returns. It imports as little
as it can, for it is what a start costs. A signal goes on to the forked process; killed, it takes that one along. TIED
is 1 if it is to die with the process that started it.
"""

import json
import os
import signal
import socket
import struct
import sys
from types import FrameType

LENGTH = struct.Struct("!I")
"""Before a request, in bytes of its JSON; with it come the three standard streams."""
STATUS = struct.Struct("!i")
"""The answer at the end: an exit code, or a signal's number below 0, as `subprocess` has it."""
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def connected(name: str) -> socket.socket:
    """Return a connection to the forkserver of that name, an abstract address."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(f"\0{name}")
    except OSError:
        connection.close()
        raise
    return connection


def _main() -> None:
    name, tied, module, *arguments = sys.argv[1:]
    if tied == "1":
        _die_with_parent()
    server = connected(name)

    def pass_on(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signal module's signature
        try:
            server.send(bytes([number]))
        except OSError:
            return  # it has just ended, and how is on its way here

    for number in PASSED_ON:
        signal.signal(number, pass_on)
    wish = {"module": module, "arguments": arguments, "folder": os.getcwd(), "variables": dict(os.environ)}  # noqa: PTH109
    content = json.dumps(wish).encode()
    socket.send_fds(server, [LENGTH.pack(len(content))], [0, 1, 2])
    server.sendall(content)
    answer = server.recv(STATUS.size, socket.MSG_WAITALL)
    _end_as(STATUS.unpack(answer)[0] if answer else -signal.SIGKILL)  # no answer: the server was killed


def _die_with_parent() -> None:
    import ctypes

    parent = os.getppid()
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)


def _end_as(code: int) -> None:
    if code < 0:
        if -code in PASSED_ON:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(abs(code))


if __name__ == "__main__":
    _main()
