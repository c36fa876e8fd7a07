"""History: what the versions of a dataset hold and took, how two differ image by image, and whether one is whole."""

from collections.abc import Iterator, Mapping
from tarfile import TarError
from typing import Any

import numpy as np
from pydantic import Field

from components.artifacts import ArtifactError, Store
from components.artifacts.audit import Progress, audit
from components.data.dataset import DatasetConfig
from components.data.reader import ShardReader
from components.data.shardset import Growth, ShardFacts, ShardSet
from components.data.tars import members
from components.data.versions import versions
from components.section import Section

_BESIDE = (".json", ".cls")
"""Ends of the names of a tar's members that are no images."""


class Version(Section):
    """One version of a dataset, as its manifest tells."""

    number: int | None
    """Its place among the dataset's versions, from 1; none where it was asked for by its digest."""
    digest: str
    at: str | None
    """When it was first made; none likewise."""
    found: int = Field(ge=0)
    """Files in the source."""
    images: int = Field(ge=0)
    """Images that count."""
    tombstones: int = Field(ge=0)
    """Images whose bytes are still in its tars, and which do not count."""
    own_bytes: int = Field(ge=0)
    """Size of the tars in its own folder."""
    pointed_bytes: int = Field(ge=0)
    """Size of the tars of earlier versions that it points to."""
    growth: Growth | None
    """What it took; none where an earlier release made it."""


class ClassChange(Section):
    """An image that is of another class now."""

    key: str
    before: str | None
    after: str | None


class Difference(Section):
    """Which images two versions do not share, by key and in order."""

    before: str
    """Digest of the earlier version."""
    after: str
    """Digest of the later one."""
    new: tuple[str, ...]
    gone: tuple[str, ...]
    changed_class: tuple[ClassChange, ...]


def version_of(shards: ShardSet, number: int | None = None, at: str | None = None) -> Version:
    """Return what a version's manifest tells."""
    tars = list(_tars(shards))
    return Version(
        number=number,
        digest=shards.digest,
        at=at,
        found=shards.found,
        images=shards.accepted,
        tombstones=sum(tar.gone for tar in tars),
        own_bytes=sum(tar.bytes for tar in tars if tar.holder is None),
        pointed_bytes=sum(tar.bytes for tar in tars if tar.holder is not None),
        growth=shards.growth,
    )


def history(dataset: DatasetConfig, store: Store) -> list[Version]:
    """Return the dataset's versions that the store still has, in the order in which they were first made."""
    found = []
    for number, record in enumerate(versions(dataset, store), start=1):
        shards = store.by_digest(ShardSet, record["shards"])
        if shards is not None:
            found.append(version_of(shards, number, record["at"]))
    return found


def difference(before: ShardSet, after: ShardSet) -> Difference:
    """Return which images two versions do not share.

    Raises:
        ArtifactError: A shard of either is missing.
    """
    earlier, later = _classes(before), _classes(after)
    changed = (
        ClassChange(key=key, before=earlier[key], after=later[key])
        for key in sorted(earlier.keys() & later.keys())
        if earlier[key] != later[key]
    )
    return Difference(
        before=before.digest,
        after=after.digest,
        new=tuple(sorted(later.keys() - earlier.keys())),
        gone=tuple(sorted(earlier.keys() - later.keys())),
        changed_class=tuple(changed),
    )


def problems(digest: str, store: Store, progress: Progress) -> Iterator[str]:
    """Yield what is wrong with a version, in words: with its bytes, those of tars it points to, or its indexes.

    Args:
        digest: The version's.
        store: Where it is kept; of a shared store every byte is read where it is.
        progress: Told of bytes read.
    """
    yield from audit(store, ShardSet.folder(), digest, deep=True, progress=progress)
    try:
        shards = store.get(ShardSet, digest)
        for split in shards.splits:
            yield from _index_problems(shards, split)
    except (ArtifactError, FileNotFoundError, TarError) as error:
        yield f"{digest}: {error}"


def _index_problems(shards: ShardSet, split: str) -> Iterator[str]:
    """Yield where an index does not point at the images that its tars hold."""
    index = np.load(shards.path / f"{split}.index.npy", allow_pickle=False)
    if not (index["key"][1:] > index["key"][:-1]).all():
        yield f"{split}.index.npy: its keys are not in order, or one is there twice"
    for number, tar in enumerate(shards.splits[split].shards):
        there = {
            member.name.partition(".")[0].encode(): (member.offset, member.bytes)
            for member in members(shards.tar(tar))
            if not member.name.endswith(_BESIDE)
        }
        if len(there) != tar.samples + tar.gone:
            yield f"{shards.tar(tar)}: {len(there)} images, the manifest says {tar.samples} and {tar.gone} tombstones"
        rows = index[index["shard"] == number]
        if len(rows) != tar.samples:
            yield f"{split}.index.npy: {len(rows)} images in {tar.name}, the manifest says {tar.samples}"
        for row in rows:
            if there.get(row["key"]) != (row["offset"], row["bytes"]):
                yield f"{split}.index.npy: image {row['key'].decode()} is not where it says in {shards.tar(tar)}"


def _classes(shards: ShardSet) -> Mapping[str, str | None]:
    """Return the class of each image by its key."""
    found: dict[str, str | None] = {}
    for split, facts in shards.splits.items():
        reader = ShardReader(shards, split)
        names: list[Any] = list(facts.classes)
        labels = reader.labels
        classes = [None] * len(reader) if labels is None else [names[label] for label in labels]
        found.update(zip(reader.keys, classes, strict=True))
    return found


def _tars(shards: ShardSet) -> Iterator[ShardFacts]:
    return (tar for facts in shards.splits.values() for tar in facts.shards)
