"""Servers of a team, for real, on loopback: an S3 store, and a proxy before it that misbehaves on demand."""

import contextlib
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from components.artifacts import Store
from components.artifacts.storage import Storage, open_storage
from tests.team.seaweed import BUCKET, Seaweed, free_ports, settings
from tests.team.stack import Stack, port_names


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """Start SeaweedFS."""
    server = Seaweed(tmp_path_factory.mktemp("seaweed"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def s3_server(seaweed: Seaweed) -> int:
    """The port at which SeaweedFS speaks S3."""
    return seaweed.port


@pytest.fixture(scope="session")
def servers() -> Iterator[Stack]:
    """All of the team's servers; a test may leave them in any state."""
    stack = Stack.prepare(free_ports(len(port_names())))
    try:
        yield stack
        stack.down()
    finally:
        stack.remove()


@pytest.fixture
def team(servers: Stack) -> Stack:
    """All of the team's servers, up and answering."""
    if servers.command("status").returncode:
        servers.up()
    return servers


@pytest.fixture
def s3(s3_server: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let boto3 find the server by its standard variables; give an s3:// prefix of the test's own."""
    for name, value in settings(s3_server).items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


@dataclass
class Proxy:
    """Passes connections on to a server, one request each, and changes what comes back."""

    upstream: int
    faults: list[Callable[[bytes, bytes], bytes]] = field(default_factory=list)
    """Each is called with one request's first bytes and its whole reply, and gives what the client gets; the first
    that changes the reply is used up."""
    _listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def port(self) -> int:
        return self._listener.getsockname()[1]

    def serve(self) -> None:
        """Answer until closed."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # closed before
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self.upstream)) as server:
            if not (request := _pass_request_on(client, server)):
                return
            reply = b"".join(iter(lambda: server.recv(1 << 16), b""))
            for fault in list(self.faults):
                changed = fault(request, reply)
                if changed != reply:
                    self.faults.remove(fault)
                    reply = changed
                    break
            client.sendall(reply)


def _pass_request_on(client: socket.socket, server: socket.socket) -> bytes:
    """Read one request and pass it on, asking the server to close the connection after its reply."""
    content = b""
    while b"\r\n\r\n" not in content:
        if not (piece := client.recv(1 << 16)):
            return b""
        content += piece
    head, _, body = content.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    kept = [line for line in head.split(b"\r\n") if not line.lower().startswith((b"connection:", b"expect:"))]
    if b"expect" in fields:
        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    server.sendall(b"\r\n".join([*kept, b"Connection: close", b"", b""]) + body)
    missing = int(fields.get(b"content-length", 0)) - len(body)
    while missing > 0 and (piece := client.recv(1 << 16)):
        server.sendall(piece)
        missing -= len(piece)
    return head


@pytest.fixture
def proxy(s3_server: int, s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Put a proxy between boto3 and the server."""
    between = Proxy(s3_server)
    threading.Thread(target=between.serve, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{between.port}")
    yield between
    between.close()


@pytest.fixture
def storage(s3: str) -> Storage:
    """The test's own prefix."""
    return open_storage(s3)


@pytest.fixture
def here(s3: str, tmp_path: Path) -> Store:
    """The shared store as one machine sees it."""
    return Store.open(s3, tmp_path / "here")


@pytest.fixture
def there(s3: str, tmp_path: Path) -> Store:
    """The shared store as another machine sees it."""
    return Store.open(s3, tmp_path / "there")
