"""Parent: how a process ends with the one that started it, so that nothing outlives a killed starter."""

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LOOK_EVERY_S = 1.0


def die_with_parent() -> None:
    """Kill this process when the one that started it dies, so that no rank outlives a killed launcher.

    Linux does it by itself (prctl PR_SET_PDEATHSIG, see prctl(2)); elsewhere, or where prctl is refused, a daemon
    thread looks at the parent's number once a second. Killing is safe: artifacts and checkpoints are written whole.
    """
    parent = os.getppid()
    if not _ask_kernel_to_kill():
        when_orphaned(lambda: os._exit(1))
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(1)


def when_orphaned(do: Callable[[], None]) -> None:
    """Call `do` in a thread of its own, once, within a second after the process that started this one is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_EVERY_S)
        do()

    threading.Thread(target=watch, name="when-orphaned", daemon=True).start()


def _ask_kernel_to_kill() -> bool:
    prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None) if os.name == "posix" else None
    return prctl is not None and prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0
