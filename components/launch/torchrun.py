"""Start ranks by torchrun, stream their log, bring back the failing rank's own words, and leave no process behind.

The flow's process calls `launch_ranks`; the processes it starts ("ranks") enter `Reporting()` and call `heartbeat()`.
"""

import os
import selectors
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil

from components.launch.alone import ALONE
from components.launch.forkserver import Forkserver, can_fork, kept
from components.launch.limits import HEARTBEAT, NO_LIMITS, Hung, Limits, Watch
from components.launch.outcome import outcome
from components.workspace import threads_per_process

_GRACE_S = 20.0  # over torchrun's own 15 s for its ranks, under the 30 s that Prefect gives a cancelled flow
_HUNG_GRACE_S = 5.0
_POLL_S = 0.25
_AGENT = "components.launch.agent"
_FAILURES = "failures.json"
_LAUNCH = "KINTSUGI_LAUNCH"


@dataclass(frozen=True)
class Program:
    """What each rank runs: `python -m module`."""

    module: str
    arguments: Sequence[str] = ()
    """Its command line."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Added to this process's variables, of which Prefect's run context and MLFLOW_RUN_ID are dropped."""
    imports: Sequence[str] = ("torch.distributed.run",)
    """Modules that take long to import; ranks are forked from a process that has done so, where the system can."""


@dataclass(frozen=True)
class Placement:
    """How many ranks there are, and where."""

    processes: int
    """Ranks on this host."""
    nodes: int = 1
    """Hosts that take part; each launches the same with its own `node_rank`."""
    node_rank: int = 0
    """Number of this host, 0 <= node_rank < nodes."""
    rendezvous: str | None = None
    """"host:port" of host 0, reachable from all; needed with more than one host."""
    at_once: int = 1
    """Launches that share this host's cores."""

    @property
    def first_rank(self) -> int:
        """Rank of the first process of this host."""
        return self.node_rank * self.processes

    @property
    def ranks(self) -> int:
        """Processes on all hosts."""
        return self.nodes * self.processes

    def arguments(self) -> list[str]:
        """Return torchrun's arguments.

        Raises:
            ValueError: The numbers contradict each other.
        """
        if self.processes < 1 or not 0 <= self.node_rank < self.nodes:
            raise ValueError(f"{self.processes} processes on host {self.node_rank} of {self.nodes}: hosts count from 0")
        here = [f"--nproc-per-node={self.processes}"]
        if self.nodes == 1:
            return [*here, "--standalone", "--local-addr=127.0.0.1"]
        if self.rendezvous is None:
            raise ValueError(f"{self.nodes} hosts need a rendezvous, the host:port of host 0")
        # Static: ranks follow node_rank, so that a run has the same ranks on the same hosts each time.
        return [*here, f"--nnodes={self.nodes}", f"--node-rank={self.node_rank}", "--rdzv-backend=static",
                "--rdzv-id=kintsugi", f"--rdzv-endpoint={self.rendezvous}"]  # fmt: skip


def launch_ranks(
    program: Program,
    placement: Placement,
    logs: Path,
    *,
    limits: Limits = NO_LIMITS,
    on_line: Callable[[str], None] | None = None,
) -> None:
    """Run `program` in the ranks of this host and return when all have ended well.

    Whatever ends the call, an error of a rank, a limit, a signal that raises in the caller, every process of the
    group is gone when it returns: SIGTERM first, SIGKILL after 20 s. If the caller itself is killed, the group ends
    within about 20 s, at once where ranks call `parent.die_with_parent`.

    Args:
        program: What each rank runs.
        placement: How many ranks, and where.
        logs: Each launch makes its own folder here: `agent.log`, and below it each rank's stdout and stderr.
        limits: When it is given up.
        on_line: Called with every line that a rank prints, as "[rank 0] text".

    Raises:
        Stopped: The ranks stopped on purpose and can be resumed.
        LaunchFailed: A rank failed, a limit was passed, or no progress was seen.
        Interrupted: It was asked to end.
        ValueError: The arguments contradict each other.
    """
    folder = logs.absolute() / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
    options = placement.arguments()
    folder.mkdir(parents=True)
    variables = _environment(program.variables, placement.processes * placement.at_once)
    watch = Watch(limits)
    watch.check()
    server = kept(program.imports, variables, folder / "forkserver.log") if can_fork() else None
    variables[_LAUNCH] = folder.name
    if limits.heartbeat is not None:
        variables[HEARTBEAT] = str(limits.heartbeat.absolute())
    rank = _python(server, program.module, program.arguments, tied=True)
    if placement.ranks == 1:  # needs nothing that takes long to import
        command = _python(None, _AGENT, [str(folder / _FAILURES), ALONE, str(folder), *rank])
    else:
        place = [str(folder / _FAILURES), str(placement.first_rank), str(folder)]
        command = _python(server, _AGENT, [*place, *options, *rank])
    agent = _Agent(command, variables, folder, on_line, server)
    grace_s = _GRACE_S
    try:
        code = agent.follow(watch)
    except Hung:
        grace_s = _HUNG_GRACE_S
        raise
    finally:
        agent.stop(grace_s)
    if code != 0:
        raise outcome(folder, code, placement.first_rank, placement.ranks)


def _python(server: Forkserver | None, module: str, arguments: Sequence[str], *, tied: bool = False) -> list[str]:
    """Return the command that runs a module, in a forked process where there is a server."""
    if server is not None:
        return server.command(module, arguments, tied=tied)
    return [sys.executable, "-u", "-m", module, *arguments]


class _Agent:
    """The torchrun process of one launch: its lines, its end, and the end of every process below it."""

    def __init__(
        self,
        command: list[str],
        variables: dict[str, str],
        folder: Path,
        on_line: Callable[[str], None] | None,
        server: Forkserver | None,
    ) -> None:
        self._launch = variables[_LAUNCH]
        self._on_line = on_line
        self._server = server
        self._rest = b""
        self._log = (folder / "agent.log").open("ab")
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            env=variables,
            start_new_session=True,
        )
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._process.stdout, selectors.EVENT_READ)  # type: ignore[arg-type]

    def follow(self, watch: Watch) -> int:
        """Pass lines on until the agent ends; return its exit code."""
        while self._process.poll() is None:
            for line in self._lines(_POLL_S):
                self._emit(line)
            watch.check()
        while lines := list(self._lines(0.0)):
            for line in lines:
                self._emit(line)
        if self._rest:
            self._emit(self._rest)
        return self._process.returncode

    def stop(self, grace_s: float) -> None:
        """End every process of the launch and wait for it."""
        below = self._below()
        try:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGTERM)
            deadline = time.monotonic() + grace_s
            while self._process.poll() is None and time.monotonic() < deadline:
                for line in self._lines(_POLL_S):
                    self._log.write(line + b"\n")
        finally:
            survivors = list({*below, *self._below()})
            for process in survivors:
                with suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(survivors, timeout=5)
            self._process.kill()
            self._process.wait()
            self._selector.close()
            for pipe in (self._process.stdin, self._process.stdout, self._log):
                if pipe:
                    pipe.close()

    def _lines(self, wait_s: float) -> Iterator[bytes]:
        if not self._selector.get_map():
            time.sleep(wait_s)
            return
        for key, _ in self._selector.select(wait_s):
            content = os.read(key.fd, 1 << 16)
            if not content:
                self._selector.unregister(key.fileobj)
            *lines, self._rest = (self._rest + content).split(b"\n")
            yield from lines

    def _emit(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r")
        if not text.startswith("[rank "):
            self._log.write(line + b"\n")
            self._log.flush()
        elif self._on_line is not None:
            self._on_line(text)

    def _below(self) -> list[psutil.Process]:
        """Return the live processes of this launch, also those whose parent is gone: all carry its mark."""
        found = self._server.having(_LAUNCH, self._launch) if self._server is not None else []
        with suppress(psutil.Error):
            found.append(psutil.Process(self._process.pid))
        for process in tuple(found):
            with suppress(psutil.Error):
                found += process.children(recursive=True)
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(_LAUNCH) == self._launch:
                    found.append(process)
        return [process for process in found if process.pid != self._process.pid]


def _environment(added: Mapping[str, str], processes: int) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT__") and k != "MLFLOW_RUN_ID"}
    defaults = {
        "OMP_NUM_THREADS": str(threads_per_process(processes)),
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "15",
        "TORCH_CPP_LOG_LEVEL": "ERROR",  # else every rank warns that no parameter is unused, which we know
    }
    return {**defaults, **inherited, **added, "PYTHONUNBUFFERED": "1"}
