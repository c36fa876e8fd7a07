"""What a killed supervisor or a killed service left behind: processes with a mark in their environment, and ports."""

import contextlib
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from infra.team.environment import MARK, SERVICE


def find(home: Path, service: str | None = None) -> list[psutil.Process]:
    """Return the processes of the team's servers, or of one service, without this one and those that started it."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    wanted = {MARK: str(home)} | ({SERVICE: service} if service else {})
    return [one for one in psutil.process_iter() if one.pid not in own and wanted.items() <= _environment(one).items()]


def end(processes: list[psutil.Process], patience_s: float) -> None:
    """Ask processes to end, and kill those that still live after `patience_s`."""
    for process in processes:
        _ignoring_the_dead(process.terminate)
    _, alive = psutil.wait_procs(processes, patience_s)
    for process in alive:
        _ignoring_the_dead(process.kill)
    psutil.wait_procs(alive, 10)


def ports_taken(ports: Mapping[int, str]) -> list[str]:
    """Return, in words, which of the ports are taken, by whom, and the settings that name them."""
    found = []
    for port, name in sorted(ports.items()):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                found.append(f"port {port} is taken{_holder(port)}; change {name}")
    return found


def _holder(port: int) -> str:
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return ""


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return dict(process.environ())
    except (psutil.Error, OSError):  # gone, or another person's
        return {}


def _ignoring_the_dead(signal: Callable[[], object]) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        signal()
