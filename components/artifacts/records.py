"""Records: a numbered list of small JSON records in a storage that only grows; every number is written once."""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from components.artifacts.files import StorageError

if TYPE_CHECKING:
    from components.artifacts.storage import Storage

Record = Mapping[str, Any]

_ROUNDS = 50


class Records:
    """The records under one folder of a storage, numbered from 1. Writers who race get numbers of their own."""

    def __init__(self, storage: "Storage", folder: str) -> None:
        self._storage = storage
        self._folder = folder

    def all(self, after: int = 0) -> list[Record]:
        """Return the records in order: number n is at place n - 1.

        Args:
            after: The number up to which they are known, and not read again.

        Raises:
            StorageError: A number is missing between others, or a record is not readable.
        """
        keys = list(self._storage.list(f"{self._folder}/"))
        expected = [self._key(number) for number in range(1, len(keys) + 1)]
        if keys != expected:
            odd = next(iter(sorted(set(keys) ^ set(expected))))
            raise StorageError(f"{self._storage.url}: {odd} is out of place; records are numbered without gaps")
        return [self._read(key) for key in keys[after:]]

    def append(self, record: Record, same: Callable[[Record], bool] = lambda _known: False) -> int:
        """Return the number of the first record that is the `same`, or write `record` and return its number.

        Raises:
            StorageError: The storage cannot be reached, or other writers were first too many times.
        """
        content = json.dumps(dict(record), indent=1, sort_keys=True).encode()
        for _ in range(_ROUNDS):
            known = self._with_unlisted(self.all())
            if (number := next((place for place, one in enumerate(known, start=1) if same(one)), None)) is not None:
                return number
            if self._storage.put_if_absent(self._key(len(known) + 1), content):
                return len(known) + 1
        raise StorageError(f"{self._storage.url}: {self._folder}: other writers were first {_ROUNDS} times")

    def _with_unlisted(self, known: list[Record]) -> list[Record]:
        """Return the records with those that a listing lacks so far, as one may that was written a moment ago."""
        while self._storage.exists(self._key(len(known) + 1)):
            known.append(self._read(self._key(len(known) + 1)))
        return known

    def _read(self, key: str) -> Record:
        try:
            record: Record = json.loads(self._storage.read_bytes(key))
        except ValueError as error:
            raise StorageError(f"{self._storage.url}: {key} is not a readable record ({error})") from error
        return record

    def _key(self, number: int) -> str:
        return f"{self._folder}/{number:06d}.json"


def lists_in(storage: "Storage", folder: str) -> list[str]:
    """Return the names of the lists of records that lie under a folder of a storage, seen from there, in order."""
    return sorted({key.removeprefix(f"{folder}/").rpartition("/")[0] for key in storage.list(f"{folder}/")})
