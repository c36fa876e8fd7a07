"""Images in a real S3 store as a source: every object once, whatever its name, also when replies get lost."""

import io
import tarfile
from pathlib import Path

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.artifacts import Store
from components.artifacts.files import StorageError
from components.artifacts.places import bucket_and_prefix
from components.data import DatasetConfig, ShapesSource, write_shards
from components.data.sources import FolderSource, ParquetSource, S3Source, WebdatasetSource
from tests.team.conftest import Proxy

pytestmark = pytest.mark.server
PICTURES = [item.content for item in ShapesSource(images=24, raster_px=16).items()]


def put(s3: str, name: str, content: bytes) -> None:
    bucket, prefix = bucket_and_prefix(s3)
    boto3.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=content)


def fill(s3: str) -> list[str]:
    names = [f"{('cat', 'dog')[number % 2]}/{number:02d}.png" for number in range(24)]
    for name, content in zip(names, PICTURES, strict=True):
        put(s3, name, content)
    return names


def test_a_prefix_becomes_the_shards_of_a_folder_with_the_same_files(s3: str, tmp_path: Path) -> None:
    for name, content in zip(fill(s3), PICTURES, strict=True):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(content)
    put(s3, "cat/broken.png", PICTURES[0][:100])
    (tmp_path / "in" / "cat" / "broken.png").write_bytes(PICTURES[0][:100])
    sources = S3Source(url=s3, labels=True), FolderSource(path=tmp_path / "in", labels=True)
    shared, local = (write_shards(DatasetConfig(source=one, size=16), Store(tmp_path / "store")) for one in sources)
    assert (shared.found, shared.accepted, shared.rejected) == (25, 24, {"truncated": 1})
    assert shared.splits == local.splits
    assert shared.splits["train"].classes.keys() == {"cat", "dog"}


def test_names_of_any_kind_are_read_and_what_is_no_file_is_left_out(s3: str) -> None:
    names = ["a\nb.png", "Größe 1.png", "..hidden.png", "%2e%2e/x.png", "q?x=1&y#z.png"]
    for number, name in enumerate([*names, "folder/", "Thumbs.db", "__MACOSX/a.png", "notes.txt"]):
        put(s3, name, PICTURES[number])
    items = list(S3Source(url=s3, patterns=("*.PNG",)).items())
    assert {item.name: item.content for item in items} == dict(zip(names, PICTURES, strict=False))


def test_more_than_a_page_is_listed_wholly_and_the_fingerprint_follows_every_object(s3: str) -> None:
    bucket, prefix = bucket_and_prefix(s3)
    client = boto3.client("s3")
    for number in range(1003):
        client.put_object(Bucket=bucket, Key=f"{prefix}/{number:04d}.png", Body=b"")
    source = S3Source(url=s3)
    before = source.fingerprint()
    assert source.count() == 1003
    assert [one.name for one in source.listing()] == [f"{number:04d}.png" for number in range(1003)]
    put(s3, "1002.png", b"x")
    assert source.fingerprint() != before


def test_an_object_that_is_written_anew_or_deleted_meanwhile_ends_the_reading_in_words(s3: str) -> None:
    fill(s3)
    source = S3Source(url=s3)
    listed = list(source.listing())
    put(s3, "cat/00.png", PICTURES[1])
    with pytest.raises(StorageError, match=r"cat/00\.png: it was written anew meanwhile"):
        list(source.read(listed))
    bucket, prefix = bucket_and_prefix(s3)
    boto3.client("s3").delete_object(Bucket=bucket, Key=f"{prefix}/dog/01.png")
    with pytest.raises(ValueError, match=r"dog/01\.png.* it was deleted while the source was read"):
        list(source.read([one for one in listed if one.name == "dog/01.png"]))


def test_lost_and_broken_replies_are_asked_for_again(s3: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINTSUGI_PATIENCE_S", "60")
    fill(s3)

    def fault(kind: str):
        def spoil(request: bytes, reply: bytes) -> bytes:
            if not request.startswith(b"GET") or b".png" not in request.split(b"\r\n")[0]:
                return reply
            return {"lost": b"", "cut": reply[: len(reply) // 2], "busy": b"HTTP/1.1 503 Slow Down\r\n\r\n"}[kind]

        return spoil

    proxy.faults += [fault(kind) for kind in ("lost", "cut", "busy", "lost", "cut", "cut")]
    assert sorted(item.content for item in S3Source(url=s3).items()) == sorted(PICTURES)
    assert not proxy.faults


def test_an_empty_prefix_a_missing_bucket_and_wrong_keys_are_told_without_secrets(
    s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="there is no object to take under s3://"):
        list(S3Source(url=s3).items())
    with pytest.raises(StorageError, match="there is no such bucket"):
        S3Source(url="s3://nowhere/x").count()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret-1234")
    with pytest.raises(StorageError, match="AWS_SECRET_ACCESS_KEY") as caught:
        S3Source(url=s3).fingerprint()
    assert "not-the-secret-1234" not in str(caught.value)


def test_tars_in_a_bucket_are_read_in_place_and_become_the_shards_of_local_ones(s3: str, tmp_path: Path) -> None:
    for name, first in (("a.tar", 0), ("b.tar", 12)):
        kept = io.BytesIO()
        with tarfile.open(fileobj=kept, mode="w") as archive:
            for number in range(first, first + 12):
                for suffix, content in (("png", PICTURES[number]), ("cls", b"cat" if number % 3 else b"dog")):
                    entry = tarfile.TarInfo(f"{number:02d}.{suffix}")
                    entry.size = len(content)
                    archive.addfile(entry, io.BytesIO(content))
        put(s3, name, kept.getvalue())
        (tmp_path / name).write_bytes(kept.getvalue())
    put(s3, ".b.tar.part.tar", b"half")
    put(s3, "notes.txt", b"no tar")
    source = WebdatasetSource(path=s3, labels=True)
    assert source.count() == 24
    assert [item.content for item in source.items()] == PICTURES
    assert [one.name for one in source.listing()][11:13] == ["a.tar/11.png", "b.tar/12.png"]
    before = source.fingerprint(), source.signature()
    sources = source, WebdatasetSource(path=tmp_path, labels=True)
    shared, same = (write_shards(DatasetConfig(source=one, size=16), Store(tmp_path / "store")) for one in sources)
    assert (shared.found, shared.accepted) == (24, 24)
    assert shared.splits == same.splits
    put(s3, "b.tar", kept.getvalue()[: 6 * 512 + 100])
    assert before[0] != source.fingerprint()
    assert before[1] != source.signature()
    with pytest.raises(ValueError, match=r"b\.tar cannot be read as a tar that is not packed"):
        list(source.items())


def test_a_prefix_without_a_tar_is_told(s3: str) -> None:
    put(s3, "a.zip", b"zip")
    with pytest.raises(ValueError, match=f"there is no .tar in {s3}"):
        WebdatasetSource(path=s3).count()


def test_tables_in_a_bucket_are_read_in_place(s3: str) -> None:
    for name, first in (("a.parquet", 0), ("sub/b.parquet", 12)):
        kept = io.BytesIO()
        pq.write_table(pa.table({"image": PICTURES[first : first + 12]}), kept, row_group_size=4)
        put(s3, name, kept.getvalue())
    source = ParquetSource(path=s3)
    assert source.count() == 24
    assert [item.content for item in source.items()] == PICTURES
    before = source.fingerprint()
    put(s3, "sub/b.parquet", kept.getvalue() + b"")
    assert source.fingerprint() == before
