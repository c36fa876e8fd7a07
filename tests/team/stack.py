"""The team's servers, whole, as `python -m infra.team` brings them up, for a test: free ports, a folder of its own."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from botocore.client import BaseClient

from infra.team import leftovers, postgres, store
from infra.team.services import SERVICES
from infra.team.settings import CHECKOUT, Settings, generate
from infra.team.supervisor import Supervisor


@dataclass(frozen=True)
class Stack:
    """The servers of one settings file."""

    settings: Settings

    @classmethod
    def prepare(cls, ports: list[int]) -> "Stack":
        """Write a settings file with these ports, as many as `port_names` has; start nothing."""
        home = Path(tempfile.mkdtemp(prefix="kintsugi-team-"))
        home.chmod(0o755)  # PostgreSQL's account passes through
        numbers = {name: str(port) for name, port in zip(port_names(), ports, strict=True)}
        generate(home / "env", {**numbers, "TEAM_HOME": str(home / "data"), "MLFLOW_WORKERS": "1"})
        return cls(Settings.read(home / "env"))

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m infra.team WORDS` for these servers."""
        command = [sys.executable, "-m", "infra.team", *words, "--settings", str(self.settings.file)]
        return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=900)

    def up(self) -> str:
        """Bring everything up; return what was printed."""
        done = self.command("up")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def down(self) -> str:
        """Take everything down; return what was printed."""
        done = self.command("down")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def remove(self) -> None:
        """End what may still run, and delete all data."""
        leftovers.end(leftovers.find(self.settings.home), 20)
        shutil.rmtree(self.settings.file.parent)

    def client(self, *, reader: bool = False) -> dict[str, str]:
        """Return the variables of a client: with the worker's rights, or a reader's."""
        lines = self.command("env", *["--reader"] * reader).stdout.splitlines()
        return dict(line.removeprefix("export ").split("=", 1) for line in lines)

    def status(self) -> dict[str, dict[str, object]]:
        """Return how each service stands."""
        return {row["service"]: row for row in json.loads(self.command("status", "--json").stdout)}

    def pids(self) -> dict[str, int]:
        """Return the process of each service that runs."""
        return {name: int(row["pid"]) for name, row in self.status().items() if row["pid"]}  # type: ignore[call-overload]

    def kill(self, service: str) -> None:
        """Kill a service's process, as a lack of memory does; supervisord starts it again."""
        os.kill(self.pids()[service], signal.SIGKILL)

    def take_away(self, service: str, seconds: float) -> None:
        """Stop a service, and start it again after a while."""
        supervisor = Supervisor(self.settings)
        supervisor.stop_service(service)
        time.sleep(seconds)
        supervisor.start_service(service)
        self.wait_until_up()

    def restart(self, service: str) -> None:
        """Stop a service, start it, and wait until it answers."""
        done = self.command("restart", service)
        assert done.returncode == 0, done.stdout + done.stderr

    def wait_until_up(self, timeout_s: float = 120) -> None:
        """Wait until every service answers."""
        deadline = time.monotonic() + timeout_s
        while (done := self.command("status")).returncode:
            assert time.monotonic() < deadline, done.stdout
            time.sleep(1)

    def processes(self) -> list[int]:
        """Return all processes of these servers, their children and the supervisor included."""
        marked = leftovers.find(self.settings.home)  # PostgreSQL's children write over their environment
        return sorted({one.pid for process in marked for one in (process, *process.children(recursive=True))})

    def secrets(self) -> set[str]:
        """Return all passwords and keys of these servers."""
        pairs = [line.partition("=")[::2] for line in self.settings.file.read_text().splitlines() if "=" in line]
        found = {value for name, value in pairs if name.endswith(("_PASSWORD", "_SECRET", "_KEY", "_AUTH")) and value}
        return {secret.removeprefix("team:") for secret in found}

    def bucket(self) -> BaseClient:
        """Return a client of the store, with the worker's rights."""
        return store.client(self.settings, "worker")

    def traces(self) -> Iterator[tuple[str, bytes]]:
        """Yield all that the servers and their runs keep and show, with where: tables, objects, files, command lines.

        Left out are the files that hand a service its passwords, which only its account may read.
        """
        for process in map(psutil.Process, self.processes()):
            with contextlib.suppress(psutil.NoSuchProcess):
                yield f"command line of {process.pid}", " ".join(process.cmdline()).encode()
        for database in ("prefect", "mlflow"):
            yield f"database {database}", self._dumped(database)
        objects = self.bucket()
        for page in objects.get_paginator("list_objects_v2").paginate(Bucket="kintsugi"):
            for item in page.get("Contents", ()):
                yield item["Key"], objects.get_object(Bucket="kintsugi", Key=item["Key"])["Body"].read()
        elsewhere = {self.settings.home / "postgres", self.settings.home / "objects", self.settings.run}
        for path in self.settings.home.rglob("*"):
            if path.is_file() and not elsewhere & set(path.parents):
                yield str(path), path.read_bytes()

    def _dumped(self, database: str) -> bytes:
        settings = self.settings
        program = postgres.binary("postgres").with_name("pg_dump")  # that of the PATH may be a wrapper
        command = [str(program), "-h", "127.0.0.1", "-p", settings["POSTGRES_PORT"]]
        own = {"PGPASSWORD": settings.database_password(database)}
        done = subprocess.run(
            [*command, "-U", database, database], env=os.environ | own, capture_output=True, check=True
        )
        return done.stdout

    def ask(self, url: str, login: str | None = None, body: object = None, method: str | None = None) -> int:
        """Send a request with "user:password" or without, and return the status."""
        try:
            with urllib.request.urlopen(_request(url, login, body, method), timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def read(self, url: str, login: str, body: object = None) -> Any:
        """Return the JSON that a server answers."""
        with urllib.request.urlopen(_request(url, login, body), timeout=20) as answer:
            return json.load(answer)


def _request(url: str, login: str | None, body: object = None, method: str | None = None) -> urllib.request.Request:
    headers = {"Content-Type": "application/json"}
    if login:
        headers["Authorization"] = "Basic " + b64encode(login.encode()).decode()
    return urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers, method=method)


def port_names() -> list[str]:
    """Return the settings that name ports."""
    return [name for service in SERVICES.values() for name in service.ports]
