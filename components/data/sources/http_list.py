"""The source `http_list`: files of the web by address and sha256, fetched once and kept."""

import hashlib
import re
import threading
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field

from components.data.sources.ahead import fetched_ahead
from components.data.sources.item import Listed, ListedSource, Problem, RawItem, printable
from components.section import canonical_json
from components.workspace import Workspace

if TYPE_CHECKING:
    from components.data.sources.downloads import Downloads

_SHA256 = re.compile(r"[0-9a-f]{64}")
_EXPECTED = "expected http(s)://ADDRESS and the 64 hexadecimal digits of its sha256, with a space between"
_TYPICAL_BYTES = 2**20


class HttpListSource(ListedSource):
    """Files that a list names: JPEG, PNG, WebP, BMP, GIF (first frame) and TIFF."""

    kind: Literal["http_list"] = "http_list"
    """Files of the web by address and sha256."""
    path: Path
    """A text file of lines `URL sha256`; empty lines and those that begin with # count for nothing. What was fetched is
    kept in `cache/downloads` in KINTSUGI_HOME: an interrupted run goes on, a longer list fetches only what is new."""
    per_second: float = Field(default=20.0, gt=0, le=1000)
    """Most requests begun in a second."""
    at_once: int = Field(default=8, ge=1, le=64)
    """Most connections at a time."""
    terms: str | None = None
    """Licence of the images and whom to name, in words; none: not known."""

    def describe(self) -> str:
        """Return the list's name."""
        return f"files of the web listed in {printable(self.path.name)}"

    def licence(self) -> str | None:
        """Return what the user said about it."""
        return self.terms

    def fingerprint(self) -> str:
        """Return a digest of the list's names and sha256, which say what every file must be; nothing is fetched."""
        digest = hashlib.sha256(self.kind.encode())
        for one in self.listing():
            digest.update(canonical_json([one.name, one.stamp]))
        return digest.hexdigest()[:32]

    def count(self) -> int:
        """Return the number of addresses."""
        return sum(1 for _ in self.listing())

    def listing(self) -> Iterator[Listed]:
        """Yield every file in the order of the list.

        Raises:
            ValueError: The list is not there, or a line is not what is expected; its number is named.
        """
        try:
            with self.path.open(encoding="utf-8") as lines:
                for number, line in enumerate(lines, 1):
                    if line.strip() and not line.startswith("#"):
                        yield _listed(line, f"source.path: line {number} of {self.path.name}")
        except UnicodeDecodeError as error:
            raise ValueError(f"source.path: {self.path} is not a text in UTF-8: {error.reason}") from error
        except OSError as error:
            raise ValueError(f"source.path: {self.path} cannot be read: {error.strerror}") from error

    def read(self, listed: Iterable[Listed]) -> Iterator[RawItem]:
        """Yield these files, several on their way at once.

        Raises:
            PatienceEndedError: A server was away for too long; what came by then is kept.
        """
        from components.data.sources.downloads import Downloads  # here, for requests costs other sources a moment

        kept = Downloads(Workspace.from_environment().cache / "downloads", _Pace(self.per_second).wait)
        return fetched_ahead(listed, partial(_item, kept), lambda _: _TYPICAL_BYTES, self.at_once)


class _Pace:
    """Lets so many begin in a second, evenly."""

    def __init__(self, per_second: float) -> None:
        self._gap_s = 1 / per_second
        self._guard = threading.Lock()
        self._next_s = time.monotonic()

    def wait(self) -> None:
        with self._guard:
            now = time.monotonic()
            begin = max(now, self._next_s)
            self._next_s = begin + self._gap_s
        time.sleep(begin - now)


def _listed(line: str, where: str) -> Listed:
    """Return what a line names, by host and path alone: what follows "?" may be a key."""
    words = line.split()
    if len(words) != 2 or not _SHA256.fullmatch(words[1].lower()):
        raise ValueError(f"{where}: {_EXPECTED}")
    url, sha256 = words[0], words[1].lower()
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        raise ValueError(f"{where}: {_EXPECTED}; {error}") from error
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError(f"{where}: found {parts.scheme or 'no scheme'}, {_EXPECTED}")
    if "@" in parts.netloc:
        raise ValueError(f"{where}: an address with a user name or password, which a list must not hold")
    return Listed(f"{host}{unquote(parts.path)}", sha256, (url, sha256))


def _item(kept: "Downloads", listed: Listed) -> RawItem:
    url, sha256 = listed.place
    found = kept.fetch(url, sha256)
    if isinstance(found, Problem):
        return RawItem(listed.name, b"", found)
    content = found.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        found.unlink()
        return _item(kept, listed)
    return RawItem(listed.name, content)
