"""Working: Prefect's workers of this host, kept and stopped so that no training is lost.

Prefect's worker lets its runs go on when it is asked to stop, and whoever asked kills them in the end. Here each run is
asked first: its training writes a checkpoint, and the run goes back in line.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from types import FrameType

import httpx
import psutil
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError

from flows.clock import check_clock
from flows.sweeping import sweep

_ENGINE = "prefect.engine"
_LOOK_EVERY_S = 2.0
_SWEEP_EVERY_S = 15.0
_LEAVE_WITHIN_S = 20.0
_DEFAULTS = {
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    "PREFECT_CLIENT_MAX_RETRIES": "12",  # a restart of the server takes longer than five requests
}
_LOGS = {  # a command keeps Prefect silent and says itself what went wrong; here its logs are what people read
    "PREFECT_LOGGING_LEVEL": "INFO",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "components,flows",
}
_log = logging.getLogger(__name__)


def work(pools: Mapping[str, int], grace_s: float) -> int:
    """Carry out the runs of `pools` until SIGTERM or SIGINT; return the exit code.

    Args:
        pools: How many runs of each work pool at once, by the pool's name.
        grace_s: Longest time that runs may take to write their checkpoints when they are asked to stop.

    Raises:
        ValueError: This host's clock is wrong; nothing is begun.
    """
    asked = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signal module's signature
        asked.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with suppress(httpx.TransportError, PrefectHTTPStatusError), get_client(sync_client=True) as client:
        check_clock(client)
    sweep(idle_workers=[_name(pool) for pool in pools])
    workers = {pool: _start(pool, limit) for pool, limit in pools.items()}
    ended = None
    next_sweep = time.monotonic() + _SWEEP_EVERY_S
    while not asked.wait(_LOOK_EVERY_S) and ended is None:
        ended = next((pool for pool, worker in workers.items() if worker.poll() is not None), None)
        if time.monotonic() >= next_sweep:
            sweep()
            next_sweep = time.monotonic() + _SWEEP_EVERY_S
    if ended is not None:
        _log.error("the worker of pool %s ended with exit code %s", ended, workers[ended].returncode)
    _stop([worker for worker in workers.values() if worker.poll() is None], grace_s)
    return 0 if ended is None else 1


def _start(pool: str, limit: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "flows.prefect_worker", "worker", "start", "--pool", pool, "--type", "process"]
    command += ["--limit", str(limit), "--name", _name(pool)]
    # A session of its own: Ctrl-C in a terminal must reach only this process, which knows the order of things.
    return subprocess.Popen(command, env={**_DEFAULTS, **os.environ, **_LOGS}, start_new_session=True)


def _name(pool: str) -> str:
    return f"{socket.gethostname()} {pool}"


def _stop(workers: "list[subprocess.Popen[bytes]]", grace_s: float) -> None:
    """Ask the runs to stop, then their workers: one that ends first would kill its runs on the way."""
    deadline = time.monotonic() + grace_s
    asked: set[psutil.Process] = set()
    while (runs := {run for worker in workers for run in _runs_below(worker.pid)}) and time.monotonic() < deadline:
        for run in runs - asked:  # a worker whose run has stopped may begin the next one meanwhile
            _log.warning("asking process %d to stop; up to %g s for its checkpoint", run.pid, grace_s)
            _signal(run, signal.SIGTERM)
        asked |= runs
        psutil.wait_procs(runs, timeout=1.0)
    for run in runs:
        _log.error("process %d did not stop in time and is killed; its run is found dead and continued", run.pid)
        _signal(run, signal.SIGKILL)
    for worker in workers:
        worker.terminate()
    deadline = time.monotonic() + _LEAVE_WITHIN_S
    for worker in workers:
        try:
            worker.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def _runs_below(worker: int) -> list[psutil.Process]:
    """Return the processes of flow runs that a worker has started."""
    found = []
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(worker).children(recursive=True):
            with suppress(psutil.Error):
                if _ENGINE in process.cmdline():
                    found.append(process)
    return found


def _signal(process: psutil.Process, number: int) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
