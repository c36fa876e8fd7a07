"""SQLite: the file that keeps runs where no server is named, and the address that MLflow takes for such a file."""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

OUR_DEFAULT = "KINTSUGI_DEFAULT_TRACKING_URI"
"""Variable that says which address in MLFLOW_TRACKING_URI is no person's choice, but the one set for them."""

REVISION = "dc11669786a5"
"""The tables that are understood here, by Alembic's name for them: those of MLflow 3.17."""

Ask = Callable[..., Sequence[tuple[Any, ...]]]
"""Returns the rows of a query with its values."""

_TAGGED = """
    SELECT 1 FROM experiments
    JOIN runs ON runs.experiment_id = experiments.experiment_id AND runs.lifecycle_stage = 'active'
    JOIN tags ON tags.run_uuid = runs.run_uuid AND tags.key = ? AND tags.value = ?
    WHERE experiments.workspace = 'default' AND experiments.name = ? LIMIT 1
"""
_PLAIN = "sqlite:///"
_QUOTED, _QUERY = "sqlite:///file:", "?uri=true"


def default_database(home: Path) -> Path:
    """Return the file that keeps the runs of the workspace `home` unless MLFLOW_TRACKING_URI names another place."""
    return home.resolve() / "mlflow.db"


def uri_from_environment() -> str:
    """Return the address that a person has put into MLFLOW_TRACKING_URI; empty if none has."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    return "" if uri == os.environ.get(OUR_DEFAULT) else uri


def is_untouched(home: Path) -> bool:
    """Return whether nothing was ever kept here: no place is named, and the workspace has no database yet."""
    return not uri_from_environment() and not default_database(home).exists()


def sqlite_uri(database: Path) -> str:
    """Return the address of a database file with an absolute path.

    In a plain address "?" would begin a query. SQLite's own form is quoted, slashes too, as MLflow makes the folders
    it believes to see in an address.
    """
    path = str(database)
    if "?" not in path and "%" not in path:
        return f"{_PLAIN}{path}"
    return f"{_QUOTED}{quote(path, safe='')}{_QUERY}"


def sqlite_file(uri: str) -> Path | None:
    """Return the database file of an address, or None if the address is not SQLite's."""
    if uri.startswith(_QUOTED) and uri.endswith(_QUERY):
        return Path(unquote(uri.removeprefix(_QUOTED).removesuffix(_QUERY)))
    return Path(uri.removeprefix(_PLAIN)) if uri.startswith(_PLAIN) else None


def database_in_use() -> Path | None:
    """Return the file that MLflow writes to, or None if it speaks to a server."""
    return sqlite_file(os.environ.get("MLFLOW_TRACKING_URI", ""))


def is_current(database: Path) -> bool:
    """Return whether the file holds the tables that are understood here; a file that cannot be read does not."""
    try:
        with opened(database) as ask:
            return ask is not None
    except sqlite3.Error:
        return False


@contextmanager
def opened(database: Path | None) -> Iterator[Ask | None]:
    """Yield what asks one state of the file, whatever is written meanwhile; None if there is no file, or another one's.

    Raises:
        sqlite3.Error: The file cannot be read.
    """
    if database is None or not database.is_file():
        yield None
        return
    with closing(sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True)) as connection:

        def ask(query: str, *values: str) -> Sequence[tuple[Any, ...]]:
            return connection.execute(query, values).fetchall()

        ask("BEGIN")
        yield ask if ask("SELECT version_num FROM alembic_version") == [(REVISION,)] else None


def is_tagged(experiment: str, tag: str, value: str) -> bool | None:
    """Return whether a run of the experiment bears the tag with this value; None where MLflow must be asked."""
    try:
        with opened(database_in_use()) as ask:
            return None if ask is None else bool(ask(_TAGGED, tag, value, experiment))
    except sqlite3.Error:
        return None
