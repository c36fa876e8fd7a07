"""A storage's contents are whole or not there, and it gives back what it was given. (S3: tests/team.)"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.artifacts.files import checked_key
from components.artifacts.storage import FolderStorage, StorageError, open_storage, probe_conditional_writes


@pytest.fixture
def storage(tmp_path):
    return open_storage(tmp_path / "storage")


def test_content_comes_back_whole_or_in_ranges(storage):
    storage.put_if_absent("a/b", b"0123456789")
    assert storage.exists("a/b")
    assert storage.read_bytes("a/b") == b"0123456789"
    assert storage.read_bytes("a/b", 3, 6) == b"345"
    assert storage.read_bytes("a/b", 8) == b"89"
    assert storage.read_bytes("a/b", 4, 4) == b""


def test_what_is_not_there_is_said_to_be_missing(storage):
    assert not storage.exists("a")
    storage.delete("a")
    with pytest.raises(FileNotFoundError):
        storage.read_bytes("a")
    with pytest.raises(FileNotFoundError):
        storage.download_file("a", storage.root / "copy")


def test_put_if_absent_never_overwrites(storage):
    assert storage.put_if_absent("key", b"first")
    assert not storage.put_if_absent("key", b"second")
    assert storage.read_bytes("key") == b"first"
    probe_conditional_writes(storage)
    assert list(storage.list()) == ["key"]


def test_of_many_writers_exactly_one_is_first(storage):
    with ThreadPoolExecutor(8) as pool:
        for key in ("a", "b", "c"):
            wins = list(pool.map(lambda number: storage.put_if_absent(key, str(number).encode()), range(8)))  # noqa: B023
            assert wins.count(True) == 1
            assert storage.read_bytes(key) == str(wins.index(True)).encode()
    assert sorted(path.name for path in storage.root.iterdir()) == ["a", "b", "c"]


def test_what_is_written_while_a_collector_whose_clock_is_ahead_sweeps_is_written_all_the_same(storage, monkeypatch):
    sweeps = []

    def swept(file: Path) -> None:
        if not sweeps:
            sweeps.append(storage.remove_unfinished(before=file.stat().st_mtime + 1))

    monkeypatch.setattr("components.artifacts.folder.sync_file", swept)
    assert storage.put_if_absent("a/key", b"content")
    assert sweeps == [1]
    assert storage.read_bytes("a/key") == b"content"
    assert [path.name for path in (storage.root / "a").iterdir()] == ["key"]


def test_a_store_that_overwrites_is_refused(tmp_path):
    class Careless(FolderStorage):
        def put_if_absent(self, key: str, content: bytes) -> bool:
            self.delete(key)
            super().put_if_absent(key, content)
            return True

    careless = Careless(tmp_path)
    with pytest.raises(StorageError, match="overwrites in spite of If-None-Match"):
        probe_conditional_writes(careless)
    assert list(careless.list()) == []


def test_keys_are_listed_by_prefix_in_order_and_drafts_are_none(storage):
    for key in ("b/2", "b/1", "ba", "c", "b/.3.0000.part"):
        storage.put_if_absent(key, b"")
    assert list(storage.list()) == ["b/1", "b/2", "ba", "c"]
    assert list(storage.list("b")) == ["b/1", "b/2", "ba"]
    assert list(storage.list("b/")) == ["b/1", "b/2"]
    assert list(storage.list("none/")) == []


def test_files_go_in_and_come_out_checked(storage, tmp_path):
    (tmp_path / "in").write_bytes(b"content")
    storage.upload_file(tmp_path / "in", "files/one")
    storage.download_file("files/one", tmp_path / "out", hashlib.sha256(b"content").hexdigest())
    assert (tmp_path / "out").read_bytes() == b"content"
    with pytest.raises(StorageError, match=r"files/one: its sha256 is ed7002b439e9…, expected 000000000000…"):
        storage.download_file("files/one", tmp_path / "other", "0" * 64)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out", "storage"]


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../a", "a/../../b", "a//b", "a/.", "a\\b", "a\0b"])
def test_keys_that_leave_the_storage_are_refused(storage, key):
    with pytest.raises(ValueError, match="relative path"):
        storage.put_if_absent(key, b"")


@given(st.text())
def test_a_key_is_refused_or_stays_inside(key):
    try:
        inside = Path("/root") / checked_key(key)
    except ValueError:
        return
    assert inside.is_relative_to("/root")
    assert ".." not in inside.parts


@pytest.mark.parametrize("url", ["ftp://a/b", "s3://", "http://a/b"])
def test_other_addresses_are_refused(url):
    with pytest.raises(ValueError, match="expected a folder or s3://bucket/prefix"):
        open_storage(url)


def test_a_prefix_cannot_leave_its_bucket():
    with pytest.raises(ValueError, match="relative path"):
        open_storage("s3://bucket/a/../../b")
