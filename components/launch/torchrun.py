"""Start ranks by torchrun, stream their log, bring back the failing rank's own words, and leave no process behind.

The flow's process calls `launch_ranks`; the processes it starts ("ranks") enter `Reporting()` and call `heartbeat()`.
"""

import os
import selectors
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil

from components.launch.alone import ALONE
from components.launch.outcome import Interrupted, LaunchFailed, outcome
from components.workspace import threads_per_process

_GRACE_S = 20.0  # over torchrun's own 15 s for its ranks, under the 30 s that Prefect gives a cancelled flow
_HUNG_GRACE_S = 5.0
_START_S = 300.0
_POLL_S = 0.25
_LAUNCH = "KINTSUGI_LAUNCH"
_HEARTBEAT = "KINTSUGI_HEARTBEAT"


def heartbeat() -> None:
    """In a rank: tell the launcher that work goes on, if it asked to be told. Cheap enough for every step."""
    if path := os.environ.get(_HEARTBEAT):
        Path(path).touch()


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


@dataclass(frozen=True)
class Limits:
    """When a launch is given up."""

    timeout_s: float | None = None
    """Longest time the whole launch may take; None sets no limit."""
    heartbeat: Path | None = None
    """File that `heartbeat()` touches in the ranks."""
    heartbeat_timeout_s: float | None = None
    """Longest time between two touches; before the first one it is at least 300 s."""
    asked: threading.Event | None = None
    """Set by another thread to end the launch, for signals reach the main thread alone."""


def launch_ranks(
    module: str,
    arguments: Sequence[str],
    placement: Placement,
    logs: Path,
    *,
    limits: Limits = Limits(),
    environment: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> None:
    """Run `python -m module` in the ranks of this host and return when all have ended well.

    Whatever ends the call, an error of a rank, a limit, a signal that raises in the caller, every process of the
    group is gone when it returns: SIGTERM first, SIGKILL after 20 s. If the caller itself is killed, the group ends
    within about 20 s, at once where ranks call `parent.die_with_parent`.

    Args:
        module: Run in each rank, with `arguments`.
        arguments: The command line of each rank.
        placement: How many ranks, and where.
        logs: Each launch makes its own folder here: `agent.log`, and below it each rank's stdout and stderr.
        limits: When it is given up.
        environment: Added to this process's variables, of which Prefect's run context and MLFLOW_RUN_ID are dropped.
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
    command = [sys.executable, "-u", "-m", "components.launch.agent", str(os.getpid()), str(folder / "failures.json")]
    if placement.ranks == 1:
        command += [ALONE, str(folder), module, *arguments]
    else:
        command += [*options, "--max-restarts=0", "--redirects=3", "--tee=3", f"--log-dir={folder}"]
        command += ["--log-line-prefix-template=[rank ${rank}] ", "-m", module, *arguments]
    variables = _environment(environment or {}, placement.processes * placement.at_once) | {_LAUNCH: folder.name}
    if limits.heartbeat is not None:
        variables[_HEARTBEAT] = str(limits.heartbeat.absolute())
    watch = _Watch(limits)
    watch.check()
    agent = _Agent(command, variables, folder, on_line)
    grace_s = _GRACE_S
    try:
        code = agent.follow(watch)
    except _Hung:
        grace_s = _HUNG_GRACE_S
        raise
    finally:
        agent.stop(grace_s)
    if code != 0:
        raise outcome(folder, code, placement.first_rank, placement.ranks)


class _Hung(LaunchFailed):
    pass


@dataclass
class _Watch:
    """Tells when a limit is passed."""

    limits: Limits
    _started: float = field(default_factory=time.monotonic)
    _last: float = field(default_factory=time.monotonic)
    _stamp: int = 0
    _beats: int = 0

    def __post_init__(self) -> None:
        self._stamp = self._last_heartbeat()

    def check(self) -> None:
        """Raise LaunchFailed when a limit is passed, Interrupted when the launch is asked to end."""
        now, limits = time.monotonic(), self.limits
        if limits.asked is not None and limits.asked.is_set():
            raise Interrupted("asked to end")
        if limits.timeout_s is not None and now - self._started > limits.timeout_s:
            raise LaunchFailed(f"not finished within its time limit of {limits.timeout_s:g} s")
        if limits.heartbeat_timeout_s is None:
            return
        if (stamp := self._last_heartbeat()) != self._stamp:
            self._stamp, self._last, self._beats = stamp, now, self._beats + 1
        limit_s = limits.heartbeat_timeout_s if self._beats else max(_START_S, limits.heartbeat_timeout_s)
        if now - self._last > limit_s:
            words = f"no progress for {limit_s:g} s: {limits.heartbeat} was not touched, a rank may hang"
            raise _Hung(words, lost=True)

    def _last_heartbeat(self) -> int:
        with suppress(FileNotFoundError):
            return self.limits.heartbeat.stat().st_mtime_ns if self.limits.heartbeat else 0
        return 0


class _Agent:
    """The torchrun process of one launch: its lines, its end, and the end of every process below it."""

    def __init__(
        self, command: list[str], variables: dict[str, str], folder: Path, on_line: Callable[[str], None] | None
    ) -> None:
        self._launch = variables[_LAUNCH]
        self._on_line = on_line
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

    def follow(self, watch: _Watch) -> int:
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
        found = []
        with suppress(psutil.Error):
            found += psutil.Process(self._process.pid).children(recursive=True)
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
