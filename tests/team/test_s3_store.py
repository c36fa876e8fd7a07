"""Artifacts in a real S3 store: shared, checked, never partial, also when the store and the network misbehave."""

import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from components.artifacts import MANIFEST, Artifact, ArtifactError, SharedStore, Store
from components.artifacts.storage import Stat, StorageError, open_storage, probe_conditional_writes
from components.workspace import WorkspaceError

pytestmark = pytest.mark.server
MIB = 1 << 20


class Drawing(Artifact):
    colours: int


def draw(folder: Path) -> dict[str, int]:
    (folder / "sub").mkdir()
    (folder / "sub" / "b.bin").write_bytes(bytes(1000))
    (folder / "a.txt").write_text("a")
    return {"colours": 3}


def never(folder: Path) -> dict[str, int]:
    raise AssertionError("written though the store has it")


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_bucket_gives_back_what_it_was_given(storage):
    storage.put_if_absent("a/b", b"0123456789")
    assert storage.exists("a/b")
    assert not storage.exists("a")
    assert (storage.read_bytes("a/b"), storage.read_bytes("a/b", 3, 6)) == (b"0123456789", b"345")
    assert (storage.read_bytes("a/b", 8), storage.read_bytes("a/b", 4, 4)) == (b"89", b"")
    storage.put_if_absent("c", b"")
    assert storage.read_bytes("c") == b""
    assert list(storage.list()) == ["a/b", "c"]
    assert list(storage.list("a/")) == ["a/b"]
    assert storage.stat("a/b") == Stat(10, hashlib.sha256(b"0123456789").hexdigest())
    assert (storage.stat("a"), storage.sha256("a/b")) == (None, hashlib.sha256(b"0123456789").hexdigest())
    storage.delete("a/b")
    storage.delete("a/b")
    assert not storage.exists("a/b")
    with pytest.raises(FileNotFoundError, match=r"s3://mlops/.*/a/b: there is no such object"):
        storage.read_bytes("a/b")


def test_conditional_writes_are_kept_and_of_many_writers_one_is_first(storage):
    probe_conditional_writes(storage)
    assert list(storage.list()) == []
    with ThreadPoolExecutor(12) as pool:
        for key in "abc":
            wins = list(pool.map(lambda number: storage.put_if_absent(key, str(number).encode()), range(12)))  # noqa: B023
            assert wins.count(True) == 1
            assert storage.read_bytes(key) == str(wins.index(True)).encode()


def test_a_large_file_goes_in_parts_and_comes_back_checked(storage, tmp_path):
    content = np.random.default_rng(0).bytes(20 * MIB + 7)
    (tmp_path / "in").write_bytes(content)
    storage.upload_file(tmp_path / "in", "large")
    storage.download_file("large", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == content
    with pytest.raises(StorageError, match=r"s3://mlops/.*/large: its sha256 is"):
        storage.download_file("large", tmp_path / "other", "0" * 64)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_an_artifact_made_here_is_found_there(here, there, tmp_path):
    assert isinstance(here, SharedStore)
    made = here.materialise(Drawing, {"seed": 1}, draw)
    found = there.materialise(Drawing, {"seed": 1}, never)
    assert (found.digest, found.colours) == (made.digest, 3)
    assert found.path == tmp_path / "there" / "drawing" / made.digest
    found.verify()
    assert (found.path / MANIFEST).read_bytes() == (made.path / MANIFEST).read_bytes()


def test_a_local_copy_is_used_without_the_store(here, monkeypatch):
    made = here.materialise(Drawing, {"seed": 1}, draw)
    monkeypatch.setattr(here, "remote", None)
    assert here.find(Drawing, {"seed": 1}) == made


def test_without_a_manifest_nothing_is_found(here, there, storage):
    made = here.materialise(Drawing, {"seed": 1}, draw)
    assert len(list(storage.list())) == 3
    storage.delete(f"drawing/{made.digest}/{MANIFEST}")
    assert there.find(Drawing, {"seed": 1}) is None
    here.materialise(Drawing, {"seed": 1}, never)
    assert there.find(Drawing, {"seed": 1}) is not None


def test_altered_bytes_in_the_store_are_refused_and_leave_nothing(here, there, storage, tmp_path):
    made = here.materialise(Drawing, {"seed": 1}, draw)
    (key,) = (key for key in storage.list() if key.endswith("b.bin"))
    storage.delete(key)
    storage.put_if_absent(key, bytes(999) + b"\1")
    with pytest.raises(StorageError, match=r"sub/b\.bin: its sha256"):
        there.find(Drawing, {"seed": 1})
    assert files(tmp_path / "there") == []
    storage.delete(key)
    with pytest.raises(FileNotFoundError, match=r"sub/b\.bin"):
        there.find(Drawing, {"seed": 1})
    assert made.digest in key


@pytest.mark.parametrize("name", ["../../outside", "/outside"])
def test_a_manifest_cannot_write_outside_its_artifact(here, there, storage, tmp_path, name):
    made = here.materialise(Drawing, {"seed": 1}, draw)
    key = f"drawing/{made.digest}/{MANIFEST}"
    manifest = json.loads(storage.read_bytes(key))
    manifest["files"][name] = manifest["files"].pop("a.txt")
    del manifest["seal"]  # as whoever means harm would
    storage.delete(key)
    storage.put_if_absent(key, json.dumps(manifest).encode())
    with pytest.raises(ValueError, match="relative path"):
        there.find(Drawing, {"seed": 1})
    assert files(tmp_path / "there") == []


def test_the_manifest_of_another_artifact_is_refused(here, there, storage):
    one, other = (here.materialise(Drawing, {"seed": seed}, draw) for seed in (1, 2))
    key = f"drawing/{one.digest}/{MANIFEST}"
    storage.delete(key)
    storage.put_if_absent(key, storage.read_bytes(f"drawing/{other.digest}/{MANIFEST}"))
    with pytest.raises(ArtifactError, match=f"holds the manifest of {other.digest}"):
        there.find(Drawing, {"seed": 1})


def test_lack_of_room_is_found_before_the_download(here, there, storage, tmp_path):
    made = here.materialise(Drawing, {"seed": 1}, draw)
    key = f"drawing/{made.digest}/{MANIFEST}"
    manifest = json.loads(storage.read_bytes(key))
    manifest["files"]["a.txt"]["bytes"] = 1 << 60
    del manifest["seal"]
    storage.delete(key)
    storage.put_if_absent(key, json.dumps(manifest).encode())
    with pytest.raises(WorkspaceError, match=f"GiB needed to fetch {made.digest}"):
        there.find(Drawing, {"seed": 1})
    assert files(tmp_path / "there") == []


def test_two_machines_that_write_one_digest_end_with_the_same_artifact(here, there):
    both_began = threading.Barrier(2)

    def write(name: str) -> Artifact:
        def draw_by_hand(folder: Path) -> dict[str, int]:
            (folder / "a.txt").write_text(f"drawn {name}")
            both_began.wait(30)
            return {"colours": 3}

        store = {"here": here, "there": there}[name]
        return store.materialise(Drawing, {"seed": 1}, draw_by_hand)

    with ThreadPoolExecutor(2) as pool:
        artifacts = list(pool.map(write, ["here", "there"]))
    texts = {(artifact.path / "a.txt").read_text() for artifact in artifacts}
    assert len(texts) == 1
    for artifact in artifacts:
        artifact.verify()
        assert [path.name for path in artifact.path.parent.iterdir()] == [artifact.digest]


def test_what_was_made_while_the_store_was_away_is_sent_later(s3, s3_server, tmp_path, there, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{s3_server}")
    store = Store.open(s3, tmp_path / "here")
    working = store.remote
    away = open_storage(s3)
    monkeypatch.setattr(away, "upload_file", unreachable)
    monkeypatch.setattr(store, "remote", away)
    with pytest.raises(StorageError, match="away"):
        store.materialise(Drawing, {"seed": 1}, draw)
    assert there.find(Drawing, {"seed": 1}) is None
    monkeypatch.setattr(store, "remote", working)
    store.materialise(Drawing, {"seed": 1}, never)
    assert there.find(Drawing, {"seed": 1}) is not None


def unreachable(path: Path, key: str) -> None:
    raise StorageError("away")


def test_wrong_keys_a_reader_and_a_missing_bucket_are_said_in_words(s3, monkeypatch):
    with pytest.raises(StorageError, match=r"s3://no-such-bucket: there is no such bucket; mend its name"):
        list(open_storage("s3://no-such-bucket/a").list())
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StorageError, match=r"/key: the store answered SignatureDoesNotMatch"):
        open_storage(s3).read_bytes("key")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "devread")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "devreadsecret")
    with pytest.raises(StorageError, match=r"/key: the store answered AccessDenied"):
        open_storage(s3).put_if_absent("key", b"")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StorageError, match="no credentials; set AWS_ACCESS_KEY_ID"):
        open_storage(s3).exists("key")


def test_a_writer_whose_answer_got_lost_knows_that_it_was_first(proxy, s3):
    storage = open_storage(s3)
    proxy.faults.append(lambda request, reply: b"" if request.startswith(b"PUT") else reply)
    assert storage.put_if_absent("key", b"ours")
    assert proxy.faults == []
    assert not storage.put_if_absent("key", b"theirs")
    assert storage.read_bytes("key") == b"ours"


def test_a_conflict_between_writers_is_tried_again(proxy, s3):
    storage = open_storage(s3)
    conflict = b"HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    proxy.faults.append(lambda request, reply: conflict if request.startswith(b"PUT") else reply)
    storage.put_if_absent("key", b"content")
    assert proxy.faults == []
    assert storage.read_bytes("key") == b"content"


@pytest.mark.parametrize("kept", [0, 1, 50_000])
def test_a_body_that_breaks_off_is_read_again(proxy, s3, tmp_path, kept):
    def cut(request: bytes, reply: bytes) -> bytes:
        head, _, body = reply.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n" + body[:kept] if request.startswith(b"GET") else reply

    storage = open_storage(s3)
    content = np.random.default_rng(0).bytes(100_000)
    storage.put_if_absent("key", content)
    proxy.faults.append(cut)
    assert storage.read_bytes("key") == content
    proxy.faults.append(cut)
    storage.download_file("key", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content
    assert proxy.faults == []


def test_busy_answers_are_tried_again(proxy, s3):
    slow_down = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    storage = open_storage(s3)
    proxy.faults += [lambda request, reply: slow_down] * 2
    storage.put_if_absent("key", b"content")
    assert storage.read_bytes("key") == b"content"


def test_other_bytes_than_were_sent_are_never_accepted(proxy, s3, tmp_path):
    def swap(request: bytes, reply: bytes) -> bytes:
        return reply.replace(b"content", b"CONTENT") if request.startswith(b"GET") else reply

    storage = open_storage(s3)
    (tmp_path / "in").write_bytes(b"content")
    storage.upload_file(tmp_path / "in", "key")
    proxy.faults += [swap] * 20
    with pytest.raises(StorageError, match="key"):
        storage.download_file("key", tmp_path / "out")
    assert not (tmp_path / "out").exists()
