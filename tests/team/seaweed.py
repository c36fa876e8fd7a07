"""A SeaweedFS server on loopback, that can be taken away and brought back."""

import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3

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


def settings(port: int) -> dict[str, str]:
    """Return the variables by which boto3 finds a server, and nothing of the person who runs the tests."""
    return {
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "devadmin",
        "AWS_SECRET_ACCESS_KEY": "devadminsecret",
        "AWS_REGION": "us-east-1",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }


def free_ports(count: int) -> list[int]:
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
        self.port, master, volume, filer, admin = free_ports(5)
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
