"""Survey: walk a source beside what is known of it, reading only what is new; its digest without reading the rest."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import numpy as np

from components.data.memory import Memory, id_of
from components.data.sources import ContentDigest, Listed, ListedSource, RawItem, Source


@dataclass(frozen=True, slots=True)
class Seen:
    """One file of a source: either it was read, or a row of the memory says what it holds."""

    name: str
    id: bytes
    known: np.void | None
    item: RawItem | None


def walk(source: Source, memory: Memory) -> Iterator[Seen]:
    """Yield every file of a source in its order; those whose stamp the memory knows are not opened."""
    if not isinstance(source, ListedSource):
        for item in source.items():
            yield Seen(item.name, id_of(item.name, ""), None, item)
        return
    listing = source.listing()
    while listed := list(islice(listing, source.listed_at_once)):
        yield from _walk_some(source, listed, memory)


def fingerprint_of(source: Source, memory: Memory) -> str:
    """Return the source's fingerprint; where that is one of its items, only those that are new are read for it."""
    if not memory.version or not source.fingerprint_is_of_items or not isinstance(source, ListedSource):
        return source.fingerprint()
    return _content_digest(source, source.signature(), memory)


def sha256_of_known(row: np.void) -> bytes:
    """Return the sha256 of the bytes of a memory's row; NumPy takes zeros at the end away."""
    digest: bytes = row["sha256"]
    return digest.ljust(hashlib.sha256().digest_size, b"\0")


def _walk_some(source: ListedSource, listed: list[Listed], memory: Memory) -> Iterator[Seen]:
    ids = [id_of(one.name, one.stamp) for one in listed]
    found = memory.unchanged(ids)
    known = [row if one.stamp else None for one, row in zip(listed, found, strict=True)]
    read = iter(source.read(one for one, row in zip(listed, known, strict=True) if row is None))
    for one, number, row in zip(listed, ids, known, strict=True):
        yield Seen(one.name, number, row, next(read) if row is None else None)


@lru_cache(maxsize=4)  # a command first asks whether anything is left to do, and then does it
def _content_digest(source: ListedSource, signature: str, memory: Memory) -> str:  # noqa: ARG001 - of the files now
    digest = ContentDigest()
    for seen in walk(source, memory):
        if seen.item is not None:
            digest.add(seen.item)
        elif seen.known is not None:
            digest.add_known(seen.name, sha256_of_known(seen.known).hex(), None, memory.label(seen.known))
    return digest.hexdigest()
