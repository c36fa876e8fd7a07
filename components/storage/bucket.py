"""Storage under an s3:// prefix; the only importer of boto3."""

import hashlib
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from components.storage.answers import ahead_s, refusal
from components.storage.files import Stat, StorageError, check_sha256, checked_key, drafted, sha256_of

_MIB = 1 << 20
_PIECE = 8 * _MIB
_CLIENT = Config(
    signature_version="s3v4",
    s3={"addressing_style": "path"},
    retries={"mode": "standard", "max_attempts": 8},
    connect_timeout=5,
    read_timeout=60,
    max_pool_connections=32,
    tcp_keepalive=True,
)
_TRANSFER = TransferConfig(
    multipart_threshold=8 * _MIB, multipart_chunksize=16 * _MIB, max_concurrency=8, preferred_transfer_client="classic"
)
_PAUSES_S = (0.1, 0.4, 1.6, 6.4)
_ABSENT = {"404", "NoSuchKey", "NotFound"}
_NOT_FOUND, _PRECONDITION_FAILED, _CONFLICT = 404, 412, 409


class BucketStorage:
    """The objects under a prefix of an S3 bucket. May be shared by threads, not by forked processes."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket = bucket
        self.prefix = f"{prefix}/" if prefix else ""
        self.url = f"s3://{bucket}/{prefix}"
        self._is_there = False
        self._client = boto3.session.Session().client("s3", config=_CLIENT)

    def exists(self, key: str) -> bool:
        """Whether there is an object under `key`."""
        return self._head(key) is not None

    def stat(self, key: str) -> Stat | None:
        """Return the length and the recorded sha256 of the object under `key`, or None if there is none."""
        there = self._head(key)
        return Stat(there["ContentLength"], there["Metadata"].get("sha256")) if there else None

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
        with self._named(""):
            answer = self._client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix, MaxKeys=1)
        return ahead_s(answer["ResponseMetadata"]["HTTPHeaders"].get("date"))

    def read_bytes(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Return the bytes from `start` up to, not including, `end`; a connection that breaks off is tried again."""
        if end is not None and end <= start:
            return b""
        wanted = {"Range": f"bytes={start}-{'' if end is None else end - 1}"} if start or end is not None else {}
        for pause_s in _PAUSES_S:
            with self._named(key):
                answer = self._client.get_object(**self._at(key), **wanted)
                try:
                    content: bytes = answer["Body"].read()
                except BotoCoreError:  # the body stalled or broke off, which boto3 does not try again
                    time.sleep(pause_s)
                    continue
                return content
        raise StorageError(f"{self._name(key)}: the connection broke off {len(_PAUSES_S)} times")

    def write_atomically(self, key: str, content: bytes) -> None:
        """Write or replace."""
        with self._named(key):
            self._client.put_object(
                **self._at(key), Body=content, Metadata={"sha256": hashlib.sha256(content).hexdigest()}
            )

    def put_if_absent(self, key: str, content: bytes) -> bool:
        """Write unless the key is taken; return whether this call wrote, also when the store's answer got lost."""
        mark = uuid.uuid4().hex
        facts = {"sha256": hashlib.sha256(content).hexdigest(), "writer": mark}
        for pause_s in _PAUSES_S:
            with self._named(key):
                try:
                    self._client.put_object(**self._at(key), Body=content, Metadata=facts, IfNoneMatch="*")
                except (ClientError, BotoCoreError) as error:
                    status = _status(error)
                    if status == _CONFLICT:
                        time.sleep(pause_s)
                        continue
                    # boto3 may have sent it twice, so "taken" can mean by ourselves: the mark tells.
                    there = self._head(key)
                    if there and there["Metadata"].get("writer") == mark:
                        return True
                    if status == _PRECONDITION_FAILED:
                        return False
                    raise
                return True
        raise StorageError(f"{self._name(key)}: other writers were in the way {len(_PAUSES_S)} times")

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with `prefix`, in order."""
        with self._named(prefix):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix + prefix):
                for item in page.get("Contents", []):
                    yield item["Key"][len(self.prefix) :]

    def delete(self, key: str) -> None:
        """Remove; nothing happens if there is no such key."""
        with self._named(key):
            self._client.delete_object(**self._at(key))

    def upload_file(self, path: Path, key: str) -> None:
        """Copy a local file in, large ones in parts; nothing is sent if the same bytes are there."""
        facts = {"sha256": sha256_of(path)}
        there = self._head(key)
        if there and there["Metadata"] == facts and there["ContentLength"] == path.stat().st_size:
            return
        with self._named(key):
            place = self._at(key)
            self._client.upload_file(
                str(path), place["Bucket"], place["Key"], ExtraArgs={"Metadata": facts}, Config=_TRANSFER
            )

    def download_file(self, key: str, path: Path, sha256: str | None = None) -> None:
        """Copy out to a local file, which appears when its length and sha256 are right."""
        there = self._head(key)
        if there is None:
            raise FileNotFoundError(f"{self._name(key)}: there is no such object")
        with drafted(path) as draft:
            with self._named(key):
                place = self._at(key)
                self._client.download_file(place["Bucket"], place["Key"], str(draft), Config=_TRANSFER)
            if draft.stat().st_size != there["ContentLength"]:
                raise StorageError(
                    f"{self._name(key)}: {draft.stat().st_size} bytes came, {there['ContentLength']} expected"
                )
            if expected := sha256 or there["Metadata"].get("sha256"):
                check_sha256(draft, expected, self._name(key))

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
            if _status(error) == _NOT_FOUND:
                raise StorageError(
                    f"s3://{self.bucket}: there is no such bucket; mend its name or have it made, as nothing here does"
                ) from error
            # This answer has no words; what was to be done next is refused with some, unless it may be done.
        self._is_there = True

    def _name(self, key: str) -> str:
        return f"s3://{self.bucket}/{self.prefix}{key}"

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.prefix + checked_key(key)}

    def _head(self, key: str) -> dict[str, Any] | None:
        with self._named(key):
            try:
                answer: dict[str, Any] = self._client.head_object(**self._at(key))
            except ClientError as error:
                if error.response["Error"]["Code"] in _ABSENT:
                    return None
                raise
            return answer
        return None

    @contextmanager
    def _named(self, key: str) -> Iterator[None]:
        """Turn boto3's errors into one that names the object and what to do, and see first that the bucket exists."""
        try:
            self._demand_bucket()
            yield
        except NoCredentialsError as error:
            raise StorageError(
                f"{self._name(key)}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            ) from error
        except ClientError as error:
            if error.response["Error"]["Code"] in _ABSENT:
                raise FileNotFoundError(f"{self._name(key)}: there is no such object") from error
            raise StorageError(f"{self._name(key)}: {refusal(error)}") from error
        except (BotoCoreError, Boto3Error) as error:
            raise StorageError(f"{self._name(key)}: {error}") from error


def _status(error: ClientError | BotoCoreError) -> int | None:
    return error.response["ResponseMetadata"]["HTTPStatusCode"] if isinstance(error, ClientError) else None
