"""Named contents in a local folder or under an s3:// prefix, whole or not there, through one small interface."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from components.artifacts.files import Listed, Stat, StorageError
from components.artifacts.folder import FolderStorage
from components.artifacts.places import bucket_and_prefix, checked_place, folder_of

__all__ = [
    "FolderStorage",
    "Listed",
    "Stat",
    "Storage",
    "StorageError",
    "checked_place",
    "open_storage",
    "probe_conditional_writes",
]


class Storage(Protocol):
    """Named contents under one place. A key is a relative path with "/", without ".."."""

    url: str

    def exists(self, key: str) -> bool:
        """Whether there is content under `key`."""

    def stat(self, key: str) -> Stat | None:
        """Return the length and the recorded sha256 of the content under `key`, or None if there is none."""

    def sha256(self, key: str) -> str:
        """Return the sha256 of the bytes under `key`, all of which are read; FileNotFoundError if there are none."""

    def read_bytes(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Return the bytes from `start` up to, not including, `end`; FileNotFoundError if there are none."""

    def put_if_absent(self, key: str, content: bytes) -> bool:
        """Write unless the key is taken; return whether this call wrote. Of many callers exactly one is told True."""

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with `prefix`, in order."""

    def entries(self, prefix: str = "") -> Iterator[Listed]:
        """Yield what lies under the keys that begin with `prefix`, in order."""

    def remove_unfinished(self, before: float) -> int:
        """Delete what killed writers left that no key leads to, begun before a time in seconds since 1970; count it."""

    def delete(self, key: str) -> None:
        """Remove; nothing happens if there is no such key."""

    def upload_file(self, path: Path, key: str) -> None:
        """Copy a local file in; nothing is sent if the same bytes are there."""

    def download_file(self, key: str, path: Path, sha256: str | None = None) -> None:
        """Copy out to a local file, which appears when its length and sha256 are right.

        Args:
            key: What to copy.
            path: Where to; its folder must exist.
            sha256: The digest to expect; None expects the one recorded when it was uploaded, if there is one.

        Raises:
            StorageError: The bytes are not the expected ones.
            FileNotFoundError: There is no such key.
        """


def open_storage(url: str | Path) -> Storage:
    """Return the storage at a local folder or an s3://bucket/prefix.

    Endpoint, region and credentials of s3:// come from boto3's own sources: AWS_ENDPOINT_URL_S3,
    AWS_ACCESS_KEY_ID, profiles, instance roles.

    Raises:
        ValueError: The address is neither.
    """
    if (shared := bucket_and_prefix(url)) is None:
        return FolderStorage(folder_of(url))
    from components.artifacts.bucket import BucketStorage  # here, for boto3 costs a local store half a second

    return BucketStorage(*shared)


def probe_conditional_writes(storage: Storage) -> None:
    """Check that the store keeps what is there when asked to.

    Raises:
        StorageError: It overwrites: two runs that share it could mix their results.
    """
    key = f"probe-{uuid.uuid4().hex}"
    try:
        answers = [storage.put_if_absent(key, content) for content in (b"first", b"second")]
        if answers != [True, False] or storage.read_bytes(key) != b"first":
            raise StorageError(f"{storage.url}: the store overwrites in spite of If-None-Match, so it cannot be shared")
    finally:
        storage.delete(key)
