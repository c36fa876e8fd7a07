"""The command line of the team's servers: python -m infra.team up | down | status | env | logs | person."""

import json
import os
import re
import secrets
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from infra.team.environment import MARK, SERVICE
from infra.team.settings import DEFAULT_FILE, Settings, generate

app = App(name="python -m infra.team", help=__doc__, version_flags=[])

File = Annotated[Path, Parameter(name="--settings", help="The settings file.")]


def say(text: str) -> None:
    """Print one text."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _settings(file: Path | None) -> Settings:
    return Settings.read(file) if file else Settings.from_environment()


def _known_service(service: str, *others: str) -> str:
    from infra.team.services import SERVICES

    if service not in (known := (*SERVICES, *others)):
        raise ValueError(f"{service}: no such service; there are {', '.join(known)}")
    return service


@app.command(name="settings")
def make_settings(*, settings: File = DEFAULT_FILE) -> None:
    """Make the settings file with new passwords, if there is none; `up` does so, too."""
    if settings.exists():
        say(f"{settings}: there already, and left as it is")
    else:
        generate(settings)
        say(f"{settings}: made, with new passwords; only you may read it")


@app.command
def up(*, settings: File = DEFAULT_FILE) -> None:
    """Bring all servers up and wait until they answer; the first time makes the settings file and the data folder."""
    from infra.team import lifecycle

    if not settings.exists():
        make_settings(settings=settings)
    read = Settings.read(settings)
    lifecycle.up(read, say)
    for name in ("prefect", "mlflow", "serve", "s3"):
        say(f"{name:<9} {read.url(name)}")
    say(f'passwords: {settings}; for your shell: eval "$(.venv/bin/python -m infra.team env)"')
    say("nights: kintsugi deploy CONFIG")


@app.command
def down(*, settings: File = DEFAULT_FILE) -> None:
    """Stop all servers, the worker first; data stays."""
    from infra.team import lifecycle

    lifecycle.down(Settings.read(settings), say)


@app.command
def restart(service: str, *, settings: File = DEFAULT_FILE) -> None:
    """Stop one service, start it again, and wait until it answers."""
    from infra.team import lifecycle

    lifecycle.restart(Settings.read(settings), _known_service(service), say)


@app.command
def status(
    *, settings: File = DEFAULT_FILE, as_json: Annotated[bool, Parameter(name="--json", negative="")] = False
) -> None:
    """Say how each service stands; exit code 1 if one is down."""
    from infra.team import lifecycle

    found = lifecycle.standings(Settings.read(settings))
    if as_json:
        rows = [
            {
                "service": one.service,
                "state": one.state.name,
                "pid": one.state.pid,
                "uptime_s": one.state.uptime_s,
                "address": one.address,
                "answers": one.complaint is None,
                "complaint": one.complaint,
            }
            for one in found
        ]
        say(json.dumps(rows, indent=1))
    else:
        lines = [("service", "state", "pid", "uptime", "address", "answers")]
        for one in found:
            uptime = "" if one.state.uptime_s is None else f"{one.state.uptime_s} s"
            lines.append(
                (one.service, one.state.name, str(one.state.pid or ""), uptime, one.address, one.complaint or "yes")
            )
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    if not all(one.up for one in found):
        sys.exit(1)


@app.command
def env(*, settings: File = DEFAULT_FILE, reader: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Print the variables of a client as lines for a shell; with --reader, of one that may only read."""
    from infra.team import clients

    say(clients.exports(clients.variables(Settings.read(settings), "reader" if reader else "worker")))


@app.command
def person(
    name: str, *, settings: File = DEFAULT_FILE, reader: Annotated[bool, Parameter(negative="")] = False
) -> None:
    """Make an account of MLflow for a person, or a new password for it, and print the person's variables, once.

    Args:
        name: Name of the account: letters, digits, dots, dashes.
        settings: The settings file.
        reader: The person may look at everything and change nothing.
    """
    from infra.team import clients
    from infra.team.accounts import ROLE_OF, Accounts

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or name in {"admin", *ROLE_OF}:
        raise ValueError(f"{name}: expected letters, digits, dots and dashes, and no service's account")
    read, account, password = Settings.read(settings), "reader" if reader else "worker", secrets.token_hex(16)
    Accounts(read).make(name, password, ROLE_OF[account])
    say(clients.exports(clients.variables(read, account, (name, password))))


@app.command
def logs(service: str, *, settings: File = DEFAULT_FILE) -> None:
    """Follow the log of a service, until Ctrl-C."""
    path = Settings.read(settings).logs / f"{_known_service(service, 'supervisor')}.log"
    os.execvp("tail", ["tail", "-n", "40", "-F", str(path)])


@app.command(show=False)
def start(service: str, *, settings: File | None = None) -> None:
    """Become a service: what the supervisor runs, and containers, which have their settings in the environment."""
    from infra.team import leftovers
    from infra.team.services import SERVICES

    read = _settings(settings)
    os.environ[SERVICE] = _known_service(service)
    if MARK in os.environ:
        leftovers.end(leftovers.find(read.home, service), SERVICES[service].stop_wait_s)
    SERVICES[service].program(read).become()


@app.command(show=False)
def ask(service: str, *, settings: File | None = None) -> None:
    """Ask a service as its clients do; exit code 1 if it does not answer."""
    from infra.team import answers

    if wrong := answers.complaint(_settings(settings), _known_service(service)):
        raise RuntimeError(f"{service}: {wrong}")


@app.command(show=False)
def prepare(*, settings: File | None = None) -> None:
    """Make the bucket and MLflow's accounts, in servers that are up."""
    from infra.team import lifecycle

    lifecycle.prepare(_settings(settings), say)


def main() -> None:
    """Run the command and end with its exit code."""
    try:
        app(exit_on_error=False)
    except CycloptsError:
        sys.exit(2)
    except ValueError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except (RuntimeError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
