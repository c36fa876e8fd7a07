"""The source `s3`: the objects under a prefix of any S3-compatible store."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from components.artifacts.files import Listing
from components.artifacts.places import bucket_and_prefix
from components.data.sources.ahead import fetched_ahead
from components.data.sources.item import (
    MAX_FILE_BYTES,
    Listed,
    ListedSource,
    Problem,
    RawItem,
    is_junk,
    labelled,
    matches,
    printable,
)
from components.section import canonical_json

if TYPE_CHECKING:
    from components.artifacts.foreign import ForeignObjects


class S3Source(ListedSource):
    """All objects under a prefix of a bucket: JPEG, PNG, WebP, BMP, GIF (first frame) and TIFF."""

    kind: Literal["s3"] = "s3"
    """Objects under a prefix of an S3-compatible store."""
    url: str
    """`s3://bucket/prefix`. Endpoint, region and keys come from boto3's own variables, such as AWS_ENDPOINT_URL_S3."""
    patterns: tuple[str, ...] = Field(default=("*",), min_length=1)
    """Names to take, as shell patterns for what follows the last "/"; others are no part of the source."""
    labels: bool = False
    """Take what follows the prefix up to the next "/" as an object's class; objects without one are refused."""
    terms: str | None = None
    """Licence of the images and whom to name, in words; none: not known."""

    @field_validator("url")
    @classmethod
    def _of_a_bucket(cls, url: str) -> str:
        if bucket_and_prefix(url) is None:
            raise ValueError(f"{url!r}: expected s3://bucket/prefix")
        return url

    def describe(self) -> str:
        """Return the address."""
        return self.url

    def licence(self) -> str | None:
        """Return what the user said about it."""
        return self.terms

    @property
    def has_classes(self) -> bool:
        """Whether names give classes."""
        return self.labels

    def fingerprint(self) -> str:
        """Return a digest of all names, sizes and ETags, of the patterns and of whether there are classes.

        No object is read. Equal bytes that were uploaded in other parts may have another ETag.
        """
        digest = hashlib.sha256(canonical_json([self.kind, self.patterns, self.labels]))
        for one in self._objects(bucket_of(self.url)):
            digest.update(canonical_json([one.name, one.size, one.etag]))
        return digest.hexdigest()[:32]

    def count(self) -> int:
        """Return the number of objects, by listing them."""
        return sum(1 for _ in self._objects(bucket_of(self.url)))

    def listing(self) -> Iterator[Listed]:
        """Yield every object in the order of names.

        Raises:
            ValueError: There is nothing under the prefix.
            StorageError: The store refuses, or was away for too long.
        """
        found = None
        for found in self._objects(bucket_of(self.url)):
            yield Listed(printable(found.name), f"{found.size} {found.etag}", found)
        if found is None:
            raise ValueError(f"source.url: there is no object to take under {self.url}")

    def read(self, listed: Iterable[Listed]) -> Iterator[RawItem]:
        """Yield these objects, several on their way at once.

        Raises:
            ValueError: One was deleted since it was listed.
            StorageError: One was written anew since, or the store was away for too long.
        """
        storage = bucket_of(self.url)
        items = fetched_ahead(listed, lambda one: _item(storage, one), lambda one: int(one.place.size))
        return map(labelled, items) if self.labels else items

    def _objects(self, storage: "ForeignObjects") -> Iterator[Listing]:
        for one in storage.listing():
            path = PurePosixPath(one.name)
            if not one.name.endswith("/") and matches(path.name, self.patterns) and not any(map(is_junk, path.parts)):
                yield one


def bucket_of(url: str) -> "ForeignObjects":
    """Return the storage at an s3:// address."""
    from components.artifacts.foreign import ForeignObjects  # here, for boto3 costs other sources half a second

    bucket, prefix = bucket_and_prefix(url) or ("", "")
    return ForeignObjects(bucket, prefix)


def _item(storage: "ForeignObjects", listed: Listed) -> RawItem:
    if listed.place.size > MAX_FILE_BYTES:
        return RawItem(listed.name, b"", Problem("too_large", f"an object of {listed.place.size} bytes"))
    try:
        return RawItem(listed.name, storage.read_listed(listed.place))
    except FileNotFoundError as error:
        raise ValueError(f"{error}: it was deleted while the source was read; start again") from error
