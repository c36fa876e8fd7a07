"""SQLite: the address that MLflow takes for a database file, whatever characters are in the file's path."""

from pathlib import Path
from urllib.parse import quote, unquote

_PLAIN = "sqlite:///"
_QUOTED, _QUERY = "sqlite:///file:", "?uri=true"


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
