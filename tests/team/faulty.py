"""A proxy before an object store that misbehaves at random, in the ways that are known of such stores and networks."""

import contextlib
import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from components.servers import patience

_PIECE = 1 << 16
_LAG_S = 1.0
_FIRST_LINE = len("HTTP/1.1 200")
_CONTENTS = re.compile(rb"<Contents>.*?</Contents>", re.DOTALL)
_KEY = re.compile(rb"<Key>(.*?)</Key>")


@dataclass(frozen=True)
class Request:
    """One request as it came, and who asked."""

    head: bytes
    body: bytes

    @property
    def method(self) -> bytes:
        """GET, PUT, HEAD, POST or DELETE."""
        return self.head.partition(b" ")[0]

    @property
    def target(self) -> bytes:
        """Path and query."""
        return self.head.split(b" ", 2)[1]

    @property
    def is_conditional(self) -> bool:
        """Whether it is to write only what is not there."""
        return b"if-none-match:" in self.head.lower()

    @property
    def lists(self) -> bool:
        """Whether it asks for a listing."""
        return b"list-type=2" in self.target


class Cut(Exception):  # noqa: N818 - no error of ours: the connection ends after these bytes
    """The connection ends after some bytes of the answer."""

    def __init__(self, sent: bytes = b"") -> None:
        super().__init__()
        self.sent = sent


Pass = Callable[[Request], bytes]
"""Hands a request to the store, and returns the whole answer."""


def answer(status: str, code: str = "", body: bytes = b"") -> bytes:
    """Return an answer as a store gives it, with an error's code if there is one."""
    if code:
        body = f"<Error><Code>{code}</Code><Message>so it was decided</Message></Error>".encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _instead(status: str, code: str) -> Callable[[Request, Pass, random.Random], bytes]:
    return lambda request, ask, draw: answer(status, "" if request.method == b"HEAD" else code)


def _refused(request: Request, ask: Pass, draw: random.Random) -> bytes:
    """End the connection before the store hears of it."""
    raise Cut


def _lost(request: Request, ask: Pass, draw: random.Random) -> bytes:
    """Do it, and lose the answer."""
    ask(request)
    raise Cut


def _denied(request: Request, ask: Pass, draw: random.Random) -> bytes:
    """Do it, and say that it failed."""
    ask(request)
    return answer("500 Internal Server Error", "" if request.method == b"HEAD" else "InternalError")


def _cut(request: Request, ask: Pass, draw: random.Random) -> bytes:
    """End the connection somewhere in the answer; to HEAD in its first line: nobody can tell half of its headers."""
    said = ask(request)
    raise Cut(said[: draw.randrange(_FIRST_LINE if request.method == b"HEAD" else len(said))])


def _short(request: Request, ask: Pass, draw: random.Random) -> bytes:
    """Leave out the end of the body, and say that it is whole."""
    said = ask(request)
    head, _, body = said.partition(b"\r\n\r\n")
    if not body or not head.startswith(b"HTTP/1.1 2"):
        return said
    body = body[: draw.randrange(len(body))]
    return re.sub(rb"(?i)content-length: *\d+", b"Content-Length: %d" % len(body), head) + b"\r\n\r\n" + body


def _conflict(request: Request, ask: Pass, draw: random.Random) -> bytes:
    """Say that another writer is at it."""
    return answer("409 Conflict", "ConditionalRequestConflict")


def _taken(request: Request, ask: Pass, draw: random.Random) -> bytes:
    """Say of what is to be written only if it is not there that it is there, without looking."""
    return answer("412 Precondition Failed", "PreconditionFailed")


def _expired(request: Request, ask: Pass, draw: random.Random) -> bytes:
    """Say that the credentials have expired; an answer to HEAD has no words, so nobody could know."""
    return answer("400 Bad Request", "ExpiredToken")


def _same(request: Request, ask: Pass, draw: random.Random) -> bytes:
    """Change nothing here: what is slow or late is so elsewhere."""
    return ask(request)


FAULTS: dict[str, Callable[[Request, Pass, random.Random], bytes]] = {
    "500, not done": _instead("500 Internal Server Error", "InternalError"),
    "500, done": _denied,
    "503 SlowDown": _instead("503 Slow Down", "SlowDown"),
    "429": _instead("429 Too Many Requests", "Throttling"),
    "connection refused": _refused,
    "answer lost": _lost,
    "answer cut": _cut,
    "wrong length": _short,
    "slow body": _same,
    "409": _conflict,
    "412": _taken,
    "ExpiredToken": _expired,
    "listing without the newest": _same,
}
"""What may go wrong with one request, by name."""
_ONLY: dict[str, Callable[[Request], bool]] = {
    "wrong length": lambda request: request.method == b"GET",
    "409": lambda request: request.is_conditional,
    "412": lambda request: request.is_conditional,
    "ExpiredToken": lambda request: request.method != b"HEAD",
    "listing without the newest": lambda request: request.lists,
}
"""Which requests a fault can befall, where these are not all."""


@dataclass
class FaultyProxy:
    """Passes requests on to a store on loopback; a share of them goes wrong."""

    upstream: int
    share: float
    """Part of the requests that go wrong, from 0 to 1."""
    seed: int = 0
    done: Counter[str] = field(default_factory=Counter)
    """Requests by what went wrong with them; "" for nothing."""
    _listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0), backlog=512))
    _written: dict[bytes, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _clients: int = 0

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def start(self) -> "FaultyProxy":
        """Answer from now on, until closed."""
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def close(self) -> None:
        """Let nobody in any more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._clients += 1
            draw = random.Random(f"{self.seed} {self._clients}")
            threading.Thread(target=self._talk, args=(client, draw), daemon=True).start()

    def _talk(self, client: socket.socket, draw: random.Random) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with client, contextlib.suppress(ConnectionError, TimeoutError):
            while (request := _read_request(client)) is not None:
                possible = [name for name in FAULTS if name not in _ONLY or _ONLY[name](request)]
                name = draw.choice(possible) if draw.random() < self.share else ""
                try:
                    said = FAULTS.get(name, _same)(request, self._ask, draw)
                except Cut as cut:
                    self._count(name)
                    client.sendall(cut.sent)
                    return
                if name == "listing without the newest" and request.lists:
                    said = self._without_newest(said)
                self._count(name)
                if name == "slow body":
                    _trickle(client, said)
                else:
                    client.sendall(said)

    def _count(self, name: str) -> None:
        with self._lock:
            self.done[name] += 1

    def _ask(self, request: Request) -> bytes:
        """Return the store's answer, with its length said and the connection left open."""
        with socket.create_connection(("127.0.0.1", self.upstream)) as store:
            store.sendall(request.head + b"\r\nConnection: close\r\n\r\n" + request.body)
            said = b"".join(iter(lambda: store.recv(_PIECE), b""))
        if request.method == b"PUT":
            with self._lock:
                self._written[request.target.partition(b"?")[0].split(b"/", 2)[-1]] = time.monotonic()
        head, _, body = said.partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith((b"connection:", b"transfer-enc"))]
        if b"transfer-encoding: chunked" in head.lower():
            body = _unchunked(body)
            lines.append(b"Content-Length: %d" % len(body))
        elif not any(line.lower().startswith(b"content-length:") for line in lines):
            lines.append(b"Content-Length: 0")
        return b"\r\n".join(lines) + b"\r\n\r\n" + body

    def _without_newest(self, said: bytes) -> bytes:
        """Leave out of a listing what was written in the last second."""
        head, _, body = said.partition(b"\r\n\r\n")
        now = time.monotonic()
        with self._lock:
            young = {key for key, at in self._written.items() if now - at < _LAG_S}

        def kept(entry: re.Match[bytes]) -> bytes:
            key = _KEY.search(entry.group())
            return b"" if key is not None and key.group(1) in young else entry.group()

        body = _CONTENTS.sub(kept, body)
        return re.sub(rb"(?i)content-length: *\d+", b"Content-Length: %d" % len(body), head) + b"\r\n\r\n" + body


def _read_request(client: socket.socket) -> Request | None:
    """Return the next request of a connection; None where it ended."""
    content = b""
    while b"\r\n\r\n" not in content:
        if not (piece := client.recv(_PIECE)):
            return None
        content += piece
    head, _, body = content.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    kept = [line for line in head.split(b"\r\n") if not line.lower().startswith((b"connection:", b"expect:"))]
    if b"expect" in fields:
        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    left = int(fields.get(b"content-length", 0)) - len(body)
    parts = [body]
    while left > 0:
        if not (piece := client.recv(min(left, _PIECE))):
            return None
        parts.append(piece)
        left -= len(piece)
    return Request(b"\r\n".join(kept), b"".join(parts))


def _unchunked(body: bytes) -> bytes:
    parts = []
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        parts.append(body[:length])
        body = body[length + 2 :]
    return b"".join(parts)


def _trickle(client: socket.socket, said: bytes) -> None:
    step = max(1, len(said) // 4)
    for start in range(0, len(said), step):
        client.sendall(said[start : start + step])
        time.sleep(0.01)


@contextlib.contextmanager
def hurried() -> Iterator[None]:
    """Let boto3 and our own patience try again at once: what is tried is what they do, not how long they wait."""
    from botocore.retries import standard

    before = patience._FIRST_PAUSE_S, patience._LONGEST_PAUSE_S, standard.ExponentialBackoff.delay_amount
    patience._FIRST_PAUSE_S, patience._LONGEST_PAUSE_S = 0.002, 0.05
    standard.ExponentialBackoff.delay_amount = lambda self, context: 0.0  # type: ignore[method-assign]
    try:
        yield
    finally:
        patience._FIRST_PAUSE_S, patience._LONGEST_PAUSE_S, standard.ExponentialBackoff.delay_amount = before
