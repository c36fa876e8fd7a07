"""Agent: runs torchrun and ends it when the launcher dies; notes which ranks failed, with which exit codes.

Use: python -m components.launch.agent PARENT FAILURES.json TORCHRUN_ARGUMENTS. The launcher's death is
seen by the end of stdin, or by another parent.
"""

import json
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main as torchrun

_GRACE_S = 30.0


def main() -> None:
    """Run torchrun with the arguments after the first two."""
    parent, failures, *arguments = sys.argv[1:]
    threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
    try:
        torchrun(arguments)
    except ChildFailedError as error:
        rows = [[rank, one.local_rank, one.exitcode, one.timestamp] for rank, one in error.failures.items()]
        Path(failures).write_text(json.dumps(rows))
        sys.exit(1)


def _end_with(parent: int) -> None:
    """Wait until the launcher is gone, then end torchrun, which ends its ranks."""
    while os.getppid() == parent and not select.select([0], [], [], 1)[0]:
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
