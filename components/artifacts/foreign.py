"""Foreign objects: what others have put under an s3:// prefix, read as it was when it was listed."""

from collections.abc import Iterator

from botocore.exceptions import ClientError

from components.artifacts import answers
from components.artifacts.bucket import PRECONDITION_FAILED, READS, BucketStorage
from components.artifacts.files import Listing, StorageError


class ForeignObjects(BucketStorage):
    """Objects of any name under a prefix, none of which is written."""

    def listing(self) -> Iterator[Listing]:
        """Yield all objects as they are now, in the order of their names, a thousand with each request."""
        for item in self._items(""):
            yield Listing(item["Key"][len(self.prefix) :], item["Size"], item["ETag"].strip('"'))

    def read_listed(self, listed: Listing, start: int = 0, end: int | None = None) -> bytes:
        """Return bytes of an object, as `read_bytes` does, if it still is what was listed.

        Raises:
            FileNotFoundError: It is gone.
            StorageError: It was written anew, or the store is away for too long, or refuses.
        """
        end = listed.size if end is None else min(end, listed.size)
        if end <= start:
            return b""
        place = {"Bucket": self.bucket, "Key": self.prefix + listed.name, "IfMatch": listed.etag}

        def read() -> bytes:
            try:
                for _ in range(READS):
                    asked = {**place, "Range": f"bytes={start}-{end - 1}"}
                    answer = answers.heard(self._client.get_object, asked, "ContentLength")
                    content = answers.body_of(answer)
                    if content is not None and len(content) == end - start:
                        return content
            except ClientError as error:
                if answers.status_of(error) == PRECONDITION_FAILED:
                    raise StorageError(f"{self._name(listed.name)}: it was written anew meanwhile") from error
                raise
            raise StorageError(f"{self._name(listed.name)}: other bytes came than were asked for, {READS} times")

        return self._ask(listed.name, read)
