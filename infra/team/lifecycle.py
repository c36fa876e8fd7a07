"""Bringing the team's servers up, taking them down, and saying how they stand."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from infra.team import answers, leftovers, postgres, store
from infra.team.accounts import Accounts
from infra.team.services import SERVICES
from infra.team.settings import POOLS, Settings
from infra.team.supervisor import State, Supervisor

_LINES_OF_A_LOG = 20
_DOWN = State("STOPPED")
_FAILED = frozenset({"FATAL"})  # what only backs off is started again: after a kill its forerunner may still let go


class NotUpError(RuntimeError):
    """A service does not come up; the message holds the end of its log."""


@dataclass(frozen=True)
class Standing:
    """How one service stands, seen from outside."""

    service: str
    state: State
    address: str
    complaint: str | None
    """What is wrong when it is asked; None: it answers."""

    @property
    def up(self) -> bool:
        """Whether it runs and answers."""
        return self.state.name == "RUNNING" and self.complaint is None


def up(settings: Settings, say: Callable[[str], None]) -> None:
    """Bring everything up that is not up yet, in order, and wait until it answers.

    Raises:
        RuntimeError: a port is taken, or a service does not come up.
    """
    with _alone(settings):
        supervisor = Supervisor(settings)
        if not supervisor.answers():
            _clear(settings, say)
            supervisor.start()
        began = time.monotonic()
        postgres.make_folder(settings)
        _bring(supervisor, ["postgres"], say)
        postgres.make_databases(settings)
        _bring(supervisor, ["s3", "prefect", "mlflow"], say)
        prepare(settings, say)
        _bring(supervisor, ["serve", "worker"], say)
        say(f"all up in {time.monotonic() - began:.0f} s")


def prepare(settings: Settings, say: Callable[[str], None]) -> None:
    """Make what the servers must hold: the bucket and MLflow's accounts. `kintsugi deploy` makes the nights."""
    began = time.monotonic()
    store.make_bucket(settings)
    Accounts(settings).make_services()
    say(f"{'prepare':<9} done in {time.monotonic() - began:.1f} s")


def down(settings: Settings, say: Callable[[str], None]) -> None:
    """Stop everything, the worker first and PostgreSQL last, and leave no process."""
    with _alone(settings):
        supervisor = Supervisor(settings)
        if supervisor.answers():
            for name in reversed(SERVICES):
                began = time.monotonic()
                supervisor.stop_service(name)
                say(f"{name:<9} stopped in {time.monotonic() - began:.1f} s")
            supervisor.shut_down()
        _end_leftovers(settings, say)


def restart(settings: Settings, name: str, say: Callable[[str], None]) -> None:
    """Stop one service, start it again, and wait until it answers."""
    with _alone(settings):
        supervisor = Supervisor(settings)
        if not supervisor.answers():
            raise RuntimeError("the team's servers are down; `python -m infra.team up` brings them up")
        supervisor.stop_service(name)
        _bring(supervisor, [name], say)


def standings(settings: Settings) -> list[Standing]:
    """Return how all services stand."""
    supervisor = Supervisor(settings)
    states = supervisor.states() if supervisor.answers() else {}
    return [
        Standing(
            name,
            state := states.get(name, _DOWN),
            _address(settings, name),
            answers.complaint(settings, name) if state.name == "RUNNING" else "does not run",
        )
        for name in SERVICES
    ]


def last_lines(log: Path) -> str:
    """Return the end of a log."""
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    return "\n".join(f"  {line}" for line in lines[-_LINES_OF_A_LOG:]) or "  (its log is empty)"


def _bring(supervisor: Supervisor, names: list[str], say: Callable[[str], None]) -> None:
    """Start services at the same time, and wait until each answers."""
    began = time.monotonic()
    for name in names:
        supervisor.start_service(name)
    waiting = set(names)
    while waiting:
        states = supervisor.states()
        for name in sorted(waiting):
            took, running = time.monotonic() - began, states[name].name == "RUNNING"
            wrong = answers.complaint(supervisor.settings, name) if running else "does not run"
            if wrong is None:
                say(f"{name:<9} ready in {took:.1f} s")
                waiting.remove(name)
            elif states[name].name in _FAILED or took > SERVICES[name].patience_s:
                reason, log = f"{states[name].name.lower()}: {wrong}", supervisor.log(name)
                raise NotUpError(f"{name} does not come up ({reason}); the end of {log}:\n{last_lines(log)}")
        time.sleep(0.2 if waiting else 0)


def _clear(settings: Settings, say: Callable[[str], None]) -> None:
    """End what a killed supervisor left behind, and see that the ports are free."""
    _end_leftovers(settings, say)
    ports = {port: name for service in SERVICES.values() for port, name in service.all_ports(settings).items()}
    if taken := leftovers.ports_taken(ports):
        raise RuntimeError("\n".join([f"{settings.file}:", *taken]))


def _end_leftovers(settings: Settings, say: Callable[[str], None]) -> None:
    if found := leftovers.find(settings.home):
        say(f"ending {len(found)} processes that were left behind: {', '.join(str(one.pid) for one in found)}")
        leftovers.end(found, 60)


def _address(settings: Settings, service: str) -> str:
    if service == "postgres":
        return f"{settings['POSTGRES_HOST']}:{settings.port('POSTGRES_PORT')}"
    return settings.url(service) if service != "worker" else f"pools {', '.join(POOLS)}"


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Make the folders, and let no second `up` or `down` at them."""
    settings.home.mkdir(parents=True, exist_ok=True)
    for folder in (settings.run, settings.logs):
        folder.mkdir(exist_ok=True, mode=0o700)
    try:
        with FileLock(settings.run / "lock", timeout=0):
            yield
    except Timeout:
        raise RuntimeError(f"{settings.home}: another `up` or `down` is at work here") from None
