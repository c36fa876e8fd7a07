"""Places: what may stand where an artifact store's address is expected, checked before anything is made there."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from components.artifacts.files import checked_key

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_EXPECTED = "expected a folder or s3://bucket/prefix"


def bucket_and_prefix(place: str | Path) -> tuple[str, str] | None:
    """Return bucket and prefix of an s3:// address, or None for a folder's.

    Raises:
        ValueError: It is neither; the message says what is expected.
    """
    text = str(place)
    if not text.strip() or "\0" in text:
        raise ValueError(f"{text!r}: {_EXPECTED}")
    if not _SCHEME.match(text) or isinstance(place, Path):
        return None
    parts = urlsplit(text)
    if not text.startswith("s3://"):
        hint = " (s3:// in small letters, with two slashes)" if parts.scheme == "s3" else ""
        raise ValueError(f"{_without_secrets(text)}: {_EXPECTED}{hint}; ./ before a folder's name with a colon")
    if not parts.netloc or "@" in parts.netloc or ":" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"{_without_secrets(text)}: {_EXPECTED}, without credentials, port, ? and #")
    prefix = parts.path.strip("/")
    return parts.netloc, checked_key(prefix) if prefix else ""


def folder_of(place: str | Path) -> Path:
    """Return the folder of an address that is a folder's, with ~ as the home it stands for.

    Raises:
        ValueError: ~NAME is nobody's home.
    """
    try:
        return Path(place).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{place}: {error}") from error


def checked_place(place: str) -> str:
    """Return `place` if it can be the address of a store; ValueError otherwise. Touches nothing."""
    if bucket_and_prefix(place) is None:
        folder_of(place)
    return place


def _without_secrets(text: str) -> str:
    head, at, tail = text.rpartition("@")
    return f"{head.partition('//')[0]}//...{at}{tail}" if at else text
