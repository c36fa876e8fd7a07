"""Alone: one rank without torchrun. Nobody has to find anybody, and importing torchrun takes as long as torch itself.

What the rank sees and leaves is what torchrun's ranks do: the variables, the error file, its log files, lines with its
number before them on the standard output.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from components.launch.tail import to_stdout

ALONE = "alone"
"""First argument of an agent that runs one rank so."""

_LAST_LINES_S = 2.0
_GRACE = "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"
_VARIABLES = {
    **dict.fromkeys(("RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK"), "0"),
    **dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "ROLE_WORLD_SIZE"), "1"),
}


def run_alone(command: Sequence[str], folder: Path) -> int:
    """Run `command` as the only rank and return its exit code; SIGTERM is passed on to it.

    Args:
        command: The command line of the rank.
        folder: Where the rank's error file and logs go, in torchrun's places.
    """
    place = folder / ALONE / "attempt_0" / "0"
    place.mkdir(parents=True)
    environment = {**os.environ, **_VARIABLES, "TORCHELASTIC_ERROR_FILE": str(place / "error.json")}
    rank = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # as torchrun's: a signal to the agent's group reaches it once
    )

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signal module's signature
        rank.terminate()
        threading.Thread(target=_kill_later, args=(rank,), daemon=True).start()

    signal.signal(signal.SIGTERM, end)
    readers = [
        threading.Thread(target=_pass_on, args=(stream, place / name), daemon=True)
        for stream, name in ((rank.stdout, "stdout.log"), (rank.stderr, "stderr.log"))
    ]
    for reader in readers:
        reader.start()
    code = rank.wait()
    for reader in readers:
        reader.join(_LAST_LINES_S)  # no longer, for what the rank has started may live on and hold its output open
    return code


def _pass_on(lines: BinaryIO, file: Path) -> None:
    with file.open("wb", buffering=0) as log:
        for line in lines:
            log.write(line)
            to_stdout(b"[rank 0] " + line.removesuffix(b"\n") + b"\n")


def _kill_later(rank: "subprocess.Popen[bytes]") -> None:
    time.sleep(float(os.environ.get(_GRACE, "15")))
    rank.kill()
