"""SQLite: the file that keeps runs where no server is named, and the address that MLflow takes for such a file."""

import os
from pathlib import Path
from urllib.parse import quote, unquote

OUR_DEFAULT = "KINTSUGI_DEFAULT_TRACKING_URI"
"""Variable that says which address in MLFLOW_TRACKING_URI is no person's choice, but the one set for them."""

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
