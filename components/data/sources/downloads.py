"""Downloads: files of the web kept by their sha256, each fetched in as many pieces as its server makes necessary."""

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import requests
from filelock import FileLock

from components.artifacts import sha256_of
from components.data.sources.item import MAX_FILE_BYTES, Problem
from components.servers.patience import ServerAwayError, outlast

_PIECE = 2**16
_CONNECT_S, _SILENT_S, _WHOLE_S = 10, 30, 600
_MOST_REDIRECTS = 5
_AGAIN = {408, 425, 429}
_SERVER_ERROR, _OK, _PARTIAL, _NO_SUCH_RANGE = 500, 200, 206, 416
_PLAIN = {"Accept-Encoding": "identity"}  # a part can only be gone on with where bytes are sent as they are


class Downloads:
    """A folder of fetched files; threads and processes may share it."""

    def __init__(self, folder: Path, pace: Callable[[], None]) -> None:
        """Use a folder, which is made if need be.

        Args:
            folder: Where files are kept, named by their sha256.
            pace: Called before each request; it waits until that may begin.
        """
        self._folder = folder
        self._pace = pace
        folder.mkdir(parents=True, exist_ok=True)

    def fetch(self, url: str, sha256: str) -> Path | Problem:
        """Return the file of that sha256, fetched from `url` unless it is there, or why it cannot be had.

        Raises:
            PatienceEndedError: The server was away for too long; the part that came is kept.
        """
        kept = self._folder / sha256[:2] / sha256
        if kept.is_file():
            return kept
        kept.parent.mkdir(exist_ok=True)
        part = kept.with_suffix(".part")
        with FileLock(kept.with_suffix(".lock")):
            if kept.is_file():
                return kept
            problem = outlast(urlsplit(url).hostname or "", lambda: self._fetched(url, part))
            if problem is not None:
                part.unlink(missing_ok=True)
                return problem
            found = sha256_of(part)
            if found != sha256:
                part.unlink()
                return Problem("unreadable", f"the sha256 of what came is {found}, the list says {sha256}")
            part.replace(kept)
        return kept

    def _fetched(self, url: str, part: Path) -> Problem | None:
        """Fetch what is missing of a file once; return why it cannot be had, or None when it is whole.

        Raises:
            ServerAwayError: It may be had later; the part that came is kept.
        """
        self._pace()
        there = part.stat().st_size if part.exists() else 0
        wanted = {**_PLAIN, **({"Range": f"bytes={there}-"} if there else {})}
        try:
            with (
                _session() as session,
                session.get(url, headers=wanted, stream=True, timeout=(_CONNECT_S, _SILENT_S)) as answer,
            ):
                return _taken(answer, part, there)
        except (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL) as error:
            return Problem("unreadable", f"it leads to an address that is not http(s): {type(error).__name__}")
        except requests.TooManyRedirects:
            return Problem("unreadable", f"it leads on more than {_MOST_REDIRECTS} times")
        except requests.RequestException as error:
            raise ServerAwayError(type(error).__name__) from error


def _session() -> requests.Session:
    session = requests.Session()
    session.max_redirects = _MOST_REDIRECTS
    session.trust_env = False  # no names and passwords of ~/.netrc for whom a list names
    return session


def _taken(answer: requests.Response, part: Path, there: int) -> Problem | None:
    status = answer.status_code
    if status >= _SERVER_ERROR or status in _AGAIN:
        raise ServerAwayError(f"it answered {status}")
    is_another = status == _PARTIAL and not answer.headers.get("Content-Range", "").startswith(f"bytes {there}-")
    if status == _NO_SUCH_RANGE or is_another:
        part.unlink(missing_ok=True)
        raise ServerAwayError("it has not the part that is missing")
    if status not in {_OK, _PARTIAL}:
        return Problem("unreadable", f"the server answered {status}")
    begin = there if status == _PARTIAL else 0
    announced = int(answer.headers.get("Content-Length") or 0)
    if begin + announced > MAX_FILE_BYTES:
        return Problem("too_large", f"a file of {begin + announced} bytes")
    deadline = time.monotonic() + _WHOLE_S
    with part.open("ab" if begin else "wb") as file:
        for piece in answer.iter_content(_PIECE):
            file.write(piece)
            if file.tell() > MAX_FILE_BYTES:
                return Problem("too_large", f"more than {MAX_FILE_BYTES} bytes")
            if time.monotonic() > deadline:
                raise ServerAwayError(f"it sent {file.tell()} bytes in {_WHOLE_S} s")
        size = file.tell()
    if announced and size < begin + announced:
        raise ServerAwayError(f"the connection broke off after {size} bytes")
    return None
