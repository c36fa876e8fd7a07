"""supervisord, which keeps the services running: its configuration, its start, and talking to it."""

import os
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from supervisor.xmlrpc import SupervisorTransport

from infra.team.environment import MARK
from infra.team.services import SERVICES
from infra.team.settings import CHECKOUT, Settings

_LONGEST_SOCKET = 100  # bytes of a Unix socket's path; the kernel takes 107
_WITHOUT_WAITING = False
_HEAD = """\
[supervisord]
logfile={logs}/supervisor.log
logfile_maxbytes=5MB
logfile_backups=2
pidfile={run}/supervisor.pid
childlogdir={logs}
umask=077
[unix_http_server]
file={run}/supervisor.sock
chmod=0600
[supervisorctl]
serverurl=unix://{run}/supervisor.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
_PROGRAM = """\
[program:{name}]
command="{python}" -m infra.team start {name} --settings "{settings}"
directory={checkout}
autostart=false
autorestart=true
startsecs=2
startretries=20
stopsignal={signal}
stopwaitsecs={wait}
killasgroup=true
redirect_stderr=true
stdout_logfile={logs}/{name}.log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=3
"""


@dataclass(frozen=True)
class State:
    """How a service stands."""

    name: str
    """RUNNING, STARTING, STOPPED, BACKOFF, FATAL ..., as supervisord calls it."""
    pid: int | None = None
    uptime_s: int | None = None


class Supervisor:
    """The supervisord of one home."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.socket = settings.run / "supervisor.sock"

    def answers(self) -> bool:
        """Say whether it is there."""
        try:
            self._call("getSupervisorVersion")
        except OSError:
            return False
        return True

    def start(self) -> None:
        """Start it, with no service running yet.

        Raises:
            ValueError: the home's path is too long for sockets.
            RuntimeError: it does not come up.
        """
        if len(os.fsencode(self.socket)) > _LONGEST_SOCKET:
            raise ValueError(
                f"TEAM_HOME={self.settings.home}: the path is too long for sockets in it; choose a shorter one"
            )
        configuration = self.settings.run / "supervisor.conf"
        configuration.write_text(self._configuration())
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)]
        environment = {**os.environ, MARK: str(self.settings.home)}
        done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
        deadline = time.monotonic() + 20
        while done.returncode == 0 and not self.answers() and time.monotonic() < deadline:
            time.sleep(0.05)
        if not self.answers():
            raise RuntimeError(f"supervisord does not come up: {(done.stderr or done.stdout).strip()}")

    def start_service(self, name: str) -> None:
        """Start a service, if it does not run; do not wait for it."""
        if self.states()[name].name in {"STOPPED", "EXITED", "FATAL"}:
            self._call("startProcess", name, _WITHOUT_WAITING)

    def stop_service(self, name: str) -> None:
        """Stop a service, and wait until it has ended or was killed after its grace."""
        if self.states()[name].name not in {"STOPPED", "EXITED", "FATAL"}:
            self._call("stopProcess", name)

    def states(self) -> Mapping[str, State]:
        """Return how each service stands."""
        return {
            one["name"]: State(one["statename"], one["pid"] or None, one["now"] - one["start"] if one["pid"] else None)
            for one in self._call("getAllProcessInfo")
        }

    def shut_down(self) -> None:
        """End it, and wait until it is gone."""
        process = psutil.Process(self._call("getPID"))
        self._call("shutdown")
        process.wait(60)

    def log(self, service: str) -> Path:
        """Return the log of a service."""
        return self.settings.logs / f"{service}.log"

    def _call(self, method: str, *arguments: str | bool) -> Any:  # noqa: ANN401 - as XML-RPC has it
        # One connection per call: the transport does not recover from one that failed.
        transport = SupervisorTransport(None, None, f"unix://{self.socket}")
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as server:
            return getattr(server.supervisor, method)(*arguments)

    def _configuration(self) -> str:
        places = {"logs": self.settings.logs, "run": self.settings.run, "checkout": CHECKOUT, "python": sys.executable}
        text = _fill(_HEAD, places)
        for name, service in SERVICES.items():
            signals = {"signal": service.stop_signal, "wait": service.stop_wait_s}
            text += _fill(_PROGRAM, {**places, **signals, "name": name, "settings": self.settings.file.absolute()})
        return text


def _fill(template: str, values: Mapping[str, object]) -> str:
    return template.format(**{name: str(value).replace("%", "%%") for name, value in values.items()})
