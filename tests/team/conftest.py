"""Servers of a team, for real, on loopback: an S3 store, and a proxy before it that misbehaves on demand."""

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import pytest

from tests.team.stack import Stack, port_names

BUCKET = "mlops"
_IDENTITY = {
    "name": "admin",
    "credentials": [{"accessKey": "devadmin", "secretKey": "devadminsecret"}],
    "actions": ["Admin", "Read", "List", "Tagging", "Write"],
}
_READER = {
    "name": "reader",
    "credentials": [{"accessKey": "devread", "secretKey": "devreadsecret"}],
    "actions": [f"Read:{BUCKET}", f"List:{BUCKET}"],
}


def _free_ports(count: int) -> list[int]:
    """Return ports that are free, and so are those 10,000 above, where SeaweedFS speaks gRPC."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as low, socket.socket() as high, contextlib.suppress(OSError, OverflowError):
            low.bind(("127.0.0.1", 0))
            port = low.getsockname()[1]
            high.bind(("127.0.0.1", port + 10_000))
            if not {port, port + 10_000, port - 10_000} & set(found):
                found.append(port)
    return found


def _wait_until_it_answers(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/{BUCKET}", timeout=2)
        except urllib.error.HTTPError as answer:
            if answer.code == 403:  # there, and asks who we are
                return
        except OSError:
            pass
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def _wait_for_the_bucket(port: int) -> None:
    """Wait until the bucket is made, which the server does after it has begun to answer."""
    (key,) = _IDENTITY["credentials"]
    store = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id=key["accessKey"],
        aws_secret_access_key=key["secretKey"],
        region_name="us-east-1",
    )
    store.get_waiter("bucket_exists").wait(Bucket=BUCKET, WaiterConfig={"Delay": 1, "MaxAttempts": 60})


class Seaweed:
    """A SeaweedFS server that can be taken away and brought back at the same ports.

    Args:
        folder: Where it keeps its data and its log.
        room: Size of a disk of its own in memory for the data, such as "200m"; none: the folder's own disk.
    """

    def __init__(self, folder: Path, room: str | None = None) -> None:
        self._folder = folder
        (folder / "s3.json").write_text(json.dumps({"identities": [_IDENTITY, _READER]}))
        self.port, master, volume, filer, admin = _free_ports(5)
        self._command = [Path(sys.executable).with_name("weed"), "mini", f"-dir={folder}", "-ip=127.0.0.1"]
        self._command += ["-ip.bind=127.0.0.1", "-master.telemetry=false", "-admin.ui=false", "-webdav=false"]
        self._command += [f"-s3.config={folder / 's3.json'}", f"-s3.port={self.port}", f"-bucket={BUCKET}"]
        self._command += ["-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.localSocket={folder / 's3.sock'}"]
        self._command += [f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}"]
        self._command += [f"-admin.port={admin}"]
        if room is not None:
            data = folder / "data"
            data.mkdir()
            mounted = f'mount -t tmpfs -o size={room} none "$0" && exec "$@"'
            # Of an option that stands twice the last one counts.
            self._command = ["unshare", "-Urm", "sh", "-c", mounted, data, *self._command, f"-dir={data}"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        (self._folder / "s3.sock").unlink(missing_ok=True)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT, cwd=self._folder)
        _wait_until_it_answers(self.port, self._process, self._folder / "log")
        _wait_for_the_bucket(self.port)

    @property
    def disk(self) -> Path:
        """Its own disk, as this process can reach it."""
        assert self._process is not None
        return Path(f"/proc/{self._process.pid}/root{self._folder / 'data'}")

    def kill(self) -> None:
        """Take it away as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Let it end."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


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
    stack = Stack.prepare(_free_ports(len(port_names())))
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
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{s3_server}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "devadmin")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "devadminsecret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
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
