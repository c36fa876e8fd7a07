"""An object store that is taken away for half a minute delays what is done with it, and nothing more."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from components.artifacts import Artifact, Store
from components.artifacts.storage import StorageError, open_storage
from components.servers.patience import PATIENCE, patient_run
from tests.team.seaweed import Seaweed

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(300)]
AWAY_S = 22.0


class Drawing(Artifact):
    colours: int


def draw(folder: Path) -> dict[str, int]:
    (folder / "a.txt").write_text("a")
    return {"colours": 3}


def test_all_that_is_asked_of_a_store_waits_for_it(s3, seaweed, tmp_path, caplog):
    storage = open_storage(s3)
    content = np.random.default_rng(0).bytes(20 << 20)
    (tmp_path / "in").write_bytes(content)
    storage.put_if_absent("there", b"there")
    storage.upload_file(tmp_path / "in", "large")
    (tmp_path / "new").write_bytes(content[::-1])
    requests = {
        "absent": lambda: storage.put_if_absent("absent", b"absent"),
        "taken": lambda: storage.put_if_absent("there", b"other"),
        "get": lambda: storage.read_bytes("there"),
        "exists": lambda: storage.exists("there"),
        "exists not": lambda: storage.exists("nowhere"),
        "list": lambda: list(storage.list()),
        "upload": lambda: storage.upload_file(tmp_path / "new", "new"),
        "download": lambda: storage.download_file("large", tmp_path / "out"),
    }
    seaweed.kill()
    with patient_run(), ThreadPoolExecutor(len(requests)) as pool:
        began = time.monotonic()
        answers = {name: pool.submit(request) for name, request in requests.items()}
        time.sleep(AWAY_S)
        assert not any(answer.done() for answer in answers.values())
        seaweed.start()
        said = {name: answer.result() for name, answer in answers.items()}
    print(f"away for {AWAY_S:g} s, all answered after {time.monotonic() - began:.1f} s")
    assert (said["absent"], said["taken"], said["get"], said["exists"], said["exists not"]) == (
        True,
        False,
        b"there",
        True,
        False,
    )
    assert {"there", "large"} <= set(said["list"])
    assert (tmp_path / "out").read_bytes() == content
    assert storage.read_bytes("new") == content[::-1]
    assert (
        f"the object store at http://127.0.0.1:{seaweed.port} does not answer; waiting, at most 30 min" in caplog.text
    )
    assert "answers again, after" in caplog.text


def test_a_store_that_stays_away_ends_in_a_line_and_what_was_made_is_sent_later(s3, seaweed, tmp_path, monkeypatch):
    here, there = (Store.open(s3, tmp_path / name) for name in ("here", "there"))
    monkeypatch.setenv(PATIENCE, "1")
    assert here.find(Drawing, {"seed": 1}) is None

    def draw_as_the_store_goes(folder: Path) -> dict[str, int]:
        seaweed.kill()
        return draw(folder)

    with pytest.raises(StorageError, match=r"does not answer, after .* the same command goes on from here"):
        here.materialise(Drawing, {"seed": 1}, draw_as_the_store_goes)
    seaweed.start()
    assert there.find(Drawing, {"seed": 1}) is None
    made = here.find(Drawing, {"seed": 1})  # as a stage asks first, when the same command is run again
    assert made is not None
    assert there.find(Drawing, {"seed": 1}) is not None
    assert [path.name for path in made.path.parent.iterdir()] == [made.digest]


@pytest.fixture
def cramped(tmp_path, s3, monkeypatch):
    """A store whose server has a small disk."""
    server = Seaweed(tmp_path, room="200m")
    server.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.port}")
    yield server
    server.stop()


def fill(path: Path) -> None:
    with suppress(OSError), path.open("wb", buffering=0) as filler:
        while filler.write(bytes(1 << 16)):
            pass
    left = os.statvfs(path.parent)
    assert left.f_bavail == 0


def test_a_full_disk_under_the_server_delays_a_write_until_there_is_room(cramped, s3, caplog):
    storage = open_storage(s3)
    storage.put_if_absent("before", b"before")
    fill(cramped.disk / "filler")
    content = np.random.default_rng(1).bytes(3 << 20)
    with patient_run(), ThreadPoolExecutor(1) as pool:
        written = pool.submit(storage.put_if_absent, "large", content)
        time.sleep(10)
        assert not written.done()
        (cramped.disk / "filler").unlink()
        written.result()
    assert storage.read_bytes("large") == content
    assert storage.read_bytes("before") == b"before"
    assert "does not answer; waiting, at most 30 min" in caplog.text


def test_renewed_credentials_are_taken_up_and_expired_ones_end_in_a_line(s3, proxy):
    body = b"<Error><Code>ExpiredToken</Code><Message>The token has expired</Message></Error>"
    head = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    expired = head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    storage = open_storage(s3)
    proxy.faults += [lambda request, reply: expired]
    storage.put_if_absent("key", b"content")  # a new client reads profiles and token files again
    assert storage.read_bytes("key") == b"content"
    proxy.faults += [lambda request, reply: expired] * 2
    with pytest.raises(StorageError, match=r"/key: the store answered ExpiredToken: .*; the credentials have expired"):
        storage.read_bytes("key")
