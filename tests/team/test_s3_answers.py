"""Answers of an object store that are broken, late or about the past are not believed; what nobody needs there goes."""

import re
import time
from pathlib import Path

import boto3
import numpy as np
import pytest

from components.artifacts import Artifact, Store
from components.artifacts.collecting import Retention, collect
from components.artifacts.records import Records
from components.artifacts.storage import open_storage

pytestmark = pytest.mark.server


class Drawing(Artifact):
    colours: int


def draw(folder: Path) -> dict[str, int]:
    (folder / "a.txt").write_text("a")
    return {"colours": 3}


def test_a_body_that_is_short_and_says_so_is_read_again(proxy, s3, tmp_path):
    def shorten(request: bytes, reply: bytes) -> bytes:
        if not request.startswith(b"GET"):
            return reply
        head, _, body = reply.partition(b"\r\n\r\n")
        kept = body[: len(body) // 2]
        return re.sub(rb"(?i)content-length: *\d+", b"Content-Length: %d" % len(kept), head) + b"\r\n\r\n" + kept

    storage = open_storage(s3)
    content = np.random.default_rng(0).bytes(100_000)
    storage.put_if_absent("key", content)
    for read in (lambda: storage.read_bytes("key"), lambda: storage.read_bytes("key", 0, 100_000)):
        proxy.faults.append(shorten)
        assert read() == content
    proxy.faults.append(shorten)
    storage.download_file("key", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content
    assert proxy.faults == []


def test_headers_that_break_off_are_no_answer(proxy, s3):
    storage = open_storage(s3)
    storage.put_if_absent("key", b"content")
    for wanted, more in ((b"\r\nContent-Length", 0), (b"\r\nLast-Modified: ", 1)):

        def cut(request: bytes, reply: bytes, wanted: bytes = wanted, more: int = more) -> bytes:
            place = reply.find(wanted)
            return reply[: place + len(wanted) + more] if b"/key" in request and place > 0 else reply

        proxy.faults.append(cut)
        assert storage.read_bytes("key") == b"content"
        proxy.faults.append(cut)
        there = storage.stat("key")
        assert there is not None
        assert there.size == len(b"content")
    assert proxy.faults == []


def test_a_record_is_written_behind_those_that_a_listing_lacks(proxy, s3):
    def without_the_last(request: bytes, reply: bytes) -> bytes:
        if b"list-type=2" not in request:
            return reply
        head, _, body = reply.partition(b"\r\n\r\n")
        body = re.sub(rb"<Contents>(?:(?!<Contents>).)*?</Contents>(?!.*<Contents>)", b"", body, flags=re.DOTALL)
        return re.sub(rb"(?i)content-length: *\d+", b"Content-Length: %d" % len(body), head) + b"\r\n\r\n" + body

    records = Records(open_storage(s3), "records/list")
    assert [records.append({"n": number}) for number in (1, 2)] == [1, 2]
    proxy.faults += [without_the_last]
    assert records.append({"n": 2}, same=lambda known: known["n"] == 2) == 2
    proxy.faults += [without_the_last]
    assert records.append({"n": 3}) == 3
    assert [record["n"] for record in records.all()] == [1, 2, 3]


def test_uploads_in_parts_whose_writers_are_gone_are_aborted(storage, s3):
    client = boto3.client("s3")
    key = f"{s3.removeprefix('s3://mlops/')}/large"
    begun = client.create_multipart_upload(Bucket="mlops", Key=key)["UploadId"]
    client.upload_part(Bucket="mlops", Key=key, UploadId=begun, PartNumber=1, Body=bytes(1000))
    assert storage.remove_unfinished(time.time() - 60) == 0
    assert storage.remove_unfinished(time.time() + 60) == 1
    assert storage.remove_unfinished(time.time() + 60) == 0
    assert "Uploads" not in client.list_multipart_uploads(Bucket="mlops", Prefix=key)


def test_a_store_is_collected_in_two_steps_and_what_another_machine_uses_stays(here, there, storage, s3, tmp_path):
    made = [here.materialise(Drawing, {"seed": seed}, draw) for seed in (1, 2, 3)]
    roots = {made[0].digest: "in service"}
    at_once = Retention(keep_days=0, grace_hours=1 / 3600)

    def collected() -> set[str]:
        fates = collect(here, lambda: roots, at_once, delete=True, now=time.time() + 10)
        return {fate.name for fate in fates if fate.becomes == "deleted"}

    assert collected() == set()
    assert there.get(Drawing, made[1].digest) is not None
    assert collected() == {made[2].digest}
    assert list(storage.list(f"drawing/{made[2].digest}")) == []
    for artifact in made[:2]:
        Store.open(s3, tmp_path / "third").get(Drawing, artifact.digest).verify()
    assert Store.open(s3, tmp_path / "third").by_digest(Drawing, made[2].digest) is None
