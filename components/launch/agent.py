"""Agent: runs the ranks of this host and ends them when the launcher dies; notes which failed, with which exit codes.

Use: python -m components.launch.agent FAILURES.json FIRST_RANK FOLDER TORCHRUN_ARGUMENTS; for a single rank
`alone FOLDER COMMAND` in place of the last three. The launcher's death is seen by the end of stdin, or another parent.
"""

import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from components.launch.alone import ALONE, run_alone
from components.launch.tail import Tail, to_stdout

_GRACE_S = 30.0
_LOGGED = ["--redirects=3", "--max-restarts=0", "--no-python"]

_Failures = list[tuple[int, int, int, float]]
"""Of each failed process its rank, its number on this host, its exit code and when it ended, in seconds since 1970."""


def main() -> None:
    """Run the ranks that the arguments after the first ask for."""
    report, first_rank, folder, *arguments = sys.argv[1:]
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    if first_rank == ALONE:
        failures = _alone(Path(folder), arguments)
    else:
        with Tail(Path(folder), int(first_rank), to_stdout):
            failures = _torchrun([f"--log-dir={folder}", *_LOGGED, *arguments])
    if failures:
        Path(report).write_text(json.dumps(failures))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1 if failures else 0)  # finalising what torch has loaded takes a second, and nothing is left to do


def _alone(folder: Path, command: Sequence[str]) -> _Failures:
    code = run_alone(command, folder)
    return [(0, 0, code, time.time())] if code else []


def _torchrun(arguments: Sequence[str]) -> _Failures:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    try:
        torchrun(arguments)
    except ChildFailedError as error:
        return [(rank, one.local_rank, one.exitcode, one.timestamp) for rank, one in error.failures.items()]
    return []


def _end_with(parent: int) -> None:
    """Wait until the launcher is gone, then end this process, which ends its ranks."""
    while os.getppid() == parent and not select.select([0], [], [], 1)[0]:
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
