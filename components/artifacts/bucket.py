"""Storage under an s3:// prefix, which waits for a store that is away; with `answers`, the only importer of boto3."""

import hashlib
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from contextvars import Context, copy_context
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

from components.artifacts import answers
from components.artifacts.files import Listed, Stat, StorageError, check_sha256, checked_key, draft_file, sha256_of
from components.servers.clock import ahead_s
from components.servers.patience import PatienceEndedError, ServerAwayError, outlast
from components.servers.redaction import redact_text

_MIB = 1 << 20
_PIECE = 8 * _MIB
_AT_ONCE = 8
_MARK = 32
READS = 3
"""So often is asked for bytes before those that came are taken for what the store has."""
_CLIENT = Config(
    signature_version="s3v4",
    s3={"addressing_style": "path"},
    retries={"mode": "standard", "max_attempts": 2},  # a broken connection is opened again; `outlast` does the waiting
    connect_timeout=5,
    read_timeout=60,
    max_pool_connections=32,
    tcp_keepalive=True,
)
_TRANSFER = TransferConfig(
    multipart_threshold=8 * _MIB,
    multipart_chunksize=16 * _MIB,
    max_concurrency=_AT_ONCE,
    preferred_transfer_client="classic",
)
_NOT_FOUND, PRECONDITION_FAILED, _CONFLICT = 404, 412, 409

Answer = TypeVar("Answer")


class BucketStorage:
    """The objects under a prefix of an S3 bucket. May be shared by threads, not by forked processes.

    Every method waits for a store that is away, as `patience` says, and then raises StorageError.
    """

    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket = bucket
        self.prefix = f"{prefix}/" if prefix else ""
        self.url = f"s3://{bucket}/{prefix}"
        self._is_there = False
        self._client = _connect()

    def exists(self, key: str) -> bool:
        """Whether there is an object under `key`."""
        return self._head(key) is not None

    def stat(self, key: str) -> Stat | None:
        """Return the length and the recorded sha256 of the object under `key`, or None if there is none."""
        there = self._head(key)
        if there is None:
            return None
        return Stat(there["ContentLength"], there["Metadata"].get("sha256"), there["LastModified"].timestamp())

    def sha256(self, key: str) -> str:
        """Return the sha256 of the bytes under `key`, read piece by piece."""
        there, digest = self.stat(key), hashlib.sha256()
        if there is None:
            raise FileNotFoundError(f"{self._name(key)}: there is no such object")
        for start in range(0, there.size, _PIECE):
            digest.update(self.read_bytes(key, start, min(start + _PIECE, there.size)))
        return digest.hexdigest()

    def clock_offset_s(self) -> float | None:
        """Return by how many seconds this machine's clock is ahead of the store's, or None if the store says no time.

        Raises:
            StorageError: The store cannot be reached, refuses us, or has no such bucket.
        """
        answer = self._page("", {"MaxKeys": 1})
        return ahead_s(answer["ResponseMetadata"]["HTTPHeaders"].get("date"))

    def read_bytes(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Return the bytes from `start` up to, not including, `end`; a connection that breaks off is tried again."""
        if end is not None and end <= start:
            return b""
        wanted = self._at(key)
        if start or end is not None:
            wanted["Range"] = f"bytes={start}-{'' if end is None else end - 1}"

        def read() -> bytes:
            for _ in range(READS):
                answer = answers.heard(self._client.get_object, wanted, "ContentLength")
                content = answers.body_of(answer)
                if content is not None and answers.is_whole(answer, content):
                    return content
            raise StorageError(f"{self._name(key)}: other bytes came than were written, {READS} times")

        return self._ask(key, read)

    def put_if_absent(self, key: str, content: bytes) -> bool:
        """Write unless the key is taken; return whether this call wrote, also when the store's answer got lost."""
        mark = uuid.uuid4().hex
        facts = {"sha256": hashlib.sha256(content).hexdigest(), "writer": mark}

        def put() -> bool:
            try:
                self._client.put_object(**self._at(key), Body=content, Metadata=facts, IfNoneMatch="*")
            except ClientError as error:
                if answers.status_of(error) == _CONFLICT:  # another writer is at it this moment
                    raise ServerAwayError("other writers were in the way") from error
                if answers.status_of(error) != PRECONDITION_FAILED:
                    raise
                # It may have been sent twice, by boto3 or by us, so "taken" can mean by ourselves: the mark tells.
                return self._writer_of(key) == mark
            return True

        return self._ask(key, put)

    def _writer_of(self, key: str) -> str:
        """Return the mark of who put an object that is said to be there."""
        for _ in range(READS):
            if (there := self._head(key)) is None:
                raise ServerAwayError("it says that there is such an object, and that there is none")
            if len(writer := there["Metadata"].get("writer", "")) == _MARK:
                return str(writer)  # else its answer broke off, or it was put otherwise
        return ""

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with `prefix`, in order."""
        return (one.key for one in self.entries(prefix))

    def entries(self, prefix: str = "") -> Iterator[Listed]:
        """Yield what lies under the keys that begin with `prefix`, in order."""
        for item in self._items(prefix):
            yield Listed(item["Key"][len(self.prefix) :], item["Size"], item["LastModified"].timestamp())

    def remove_unfinished(self, before: float) -> int:
        """Abort uploads in parts whose writers were killed: those begun before a time in seconds since 1970."""
        place, removed = {"Bucket": self.bucket, "Prefix": self.prefix}, 0
        after: dict[str, str] = {}
        while True:
            page = self._ask("", partial(self._client.list_multipart_uploads, **place, **after))
            for one in page.get("Uploads", []):
                if one["Initiated"].timestamp() < before:
                    self._ask("", partial(self._abort, one["Key"], one["UploadId"]))
                    removed += 1
            if not page["IsTruncated"]:
                return removed
            after = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def delete(self, key: str) -> None:
        """Remove; nothing happens if there is no such key."""
        self._ask(key, lambda: self._client.delete_object(**self._at(key)))

    def upload_file(self, path: Path, key: str) -> None:
        """Copy a local file in, large ones in parts; nothing is sent if the same bytes are there."""
        facts = {"sha256": sha256_of(path)}
        there = self._head(key)
        if there and there["Metadata"] == facts and there["ContentLength"] == path.stat().st_size:
            return
        place = self._at(key).values()

        def send() -> None:
            try:
                self._client.upload_file(str(path), *place, ExtraArgs={"Metadata": facts}, Config=_TRANSFER)
            except KeyError as error:  # boto3 takes what it needs from answers, whole or not
                raise ServerAwayError(f"its answer broke off before {error}") from error

        self._ask(key, send)

    def download_file(self, key: str, path: Path, sha256: str | None = None) -> None:
        """Copy out to a local file, which appears when its length and sha256 are right."""
        with draft_file(path) as draft:
            for left in reversed(range(READS)):  # a connection may break off and look whole
                if (there := self._head(key)) is None:
                    raise FileNotFoundError(f"{self._name(key)}: there is no such object")
                expected = sha256 or there["Metadata"].get("sha256")
                self._read_into(draft, key, there["ContentLength"])
                with nullcontext() if not left else suppress(StorageError):
                    self._check(draft, there["ContentLength"], expected, key)
                    break

    def _read_into(self, draft: Path, key: str, size: int) -> None:
        """Read an object into a file, several pieces at a time, each of which is asked for again if it breaks off."""
        with draft.open("wb") as file, ThreadPoolExecutor(_AT_ONCE) as pool:

            def read(start: int, waiting: Context) -> None:
                piece = waiting.run(self.read_bytes, key, start, min(start + _PIECE, size))
                os.pwrite(file.fileno(), piece, start)

            for done in [pool.submit(read, start, copy_context()) for start in range(0, size, _PIECE)]:
                done.result()

    def _check(self, draft: Path, size: int, sha256: str | None, key: str) -> None:
        if draft.stat().st_size != size:
            raise StorageError(f"{self._name(key)}: {draft.stat().st_size} bytes came, {size} expected")
        if sha256 is not None:
            check_sha256(draft, sha256, self._name(key))

    def _abort(self, key: str, upload: str) -> None:
        try:
            self._client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload)
        except ClientError as error:
            if answers.status_of(error) != _NOT_FOUND:  # else it has ended meanwhile
                raise

    def _demand_bucket(self) -> None:
        """See once that the bucket exists: some stores make it with the first object, and so hide a misspelt name.

        Raises:
            StorageError: It does not.
        """
        if self._is_there:
            return
        try:
            self._client.head_bucket(Bucket=self.bucket)
        except ClientError as error:
            if answers.status_of(error) == _NOT_FOUND:
                raise StorageError(
                    f"s3://{self.bucket}: there is no such bucket; mend its name or have it made, as nothing here does"
                ) from error
            # This answer has no words; what was to be done next is refused with some, unless it may be done.
        self._is_there = True

    def _name(self, key: str) -> str:
        return f"s3://{self.bucket}/{self.prefix}{key}"

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.prefix + checked_key(key)}

    def _page(self, prefix: str, more: Mapping[str, str | int]) -> dict[str, Any]:
        place = {"Bucket": self.bucket, "Prefix": self.prefix + prefix}
        asked = {**place, **more}
        return self._ask(prefix, lambda: answers.heard(self._client.list_objects_v2, asked, "IsTruncated"))

    def _items(self, prefix: str) -> Iterator[dict[str, Any]]:
        after: dict[str, str] = {}
        while True:
            page = self._page(prefix, after)
            yield from page.get("Contents", [])
            if not page["IsTruncated"]:
                return
            after = {"ContinuationToken": page["NextContinuationToken"]}

    def _head(self, key: str) -> dict[str, Any] | None:
        place = self._at(key)
        try:
            needed = ("ContentLength", "LastModified")
            return self._ask(key, lambda: answers.heard(self._client.head_object, place, *needed))
        except FileNotFoundError:
            return None

    def _ask(self, key: str, request: Callable[[], Answer]) -> Answer:
        """Return the answer to a request, which waits for a store that is away and takes up renewed credentials.

        Raises:
            FileNotFoundError: There is no such object.
            StorageError: The store is away for too long, or refuses; the message names the object and what to do.
        """
        server = f"the object store at {redact_text(self._client.meta.endpoint_url)}"
        try:
            return outlast(server, lambda: self._ask_once(request))
        except PatienceEndedError as error:
            raise StorageError(f"{self._name(key)}: {error}") from error
        except answers.ERRORS as error:
            if answers.is_absent(error):
                raise FileNotFoundError(f"{self._name(key)}: there is no such object") from error
            raise StorageError(f"{self._name(key)}: {answers.in_words(error)}") from error

    def _ask_once(self, request: Callable[[], Answer]) -> Answer:
        try:
            try:
                self._demand_bucket()
                return request()
            except answers.ERRORS as error:
                if not answers.is_expired(error):
                    raise
                self._client = _connect()  # reads profiles and token files anew
                return request()
        except answers.ERRORS as error:
            if answers.is_away(error):
                raise ServerAwayError(answers.in_words(error)) from error
            raise


def _connect() -> Any:  # noqa: ANN401 - boto3's clients have no public type
    return boto3.session.Session().client("s3", config=_CLIENT)
