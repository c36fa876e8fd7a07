"""Forgetting: who holds an image, its deletion from a store, and the proof that it is gone."""

import re
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field

from components.artifacts import ArtifactError, Store
from components.artifacts.erasing import erase, left_of
from components.artifacts.streaming import HELD
from components.data.dataset import DatasetConfig
from components.data.forgotten import Forgotten, Request, request
from components.data.frozen import CorruptionSet
from components.data.memory import Memory
from components.data.reader import ShardReader
from components.data.shardset import ShardSet
from components.data.spool import SPOOLS
from components.data.tars import members
from components.data.versions import versions
from components.section import Section, digest_of

_KEY = re.compile(r"[0-9a-f]{32}")


class Holding(Section):
    """Where images are that are to be forgotten."""

    keys: tuple[str, ...]
    """The images' keys."""
    seen_in: tuple[str, ...] = Field(default=())
    """Digests of the ShardSets of which one of them is a part."""
    learnt_in: tuple[str, ...] = Field(default=())
    """Digests of those of them that have one of them among the images to learn from, or to choose weights by; and of
    versions before them that were deleted for another image."""
    versions: tuple[str, ...] = Field(default=())
    """Digests of the ShardSets in whose tars their bytes are, and of those that point to tars of such."""
    corruption_sets: tuple[str, ...] = Field(default=())
    """Digests of the CorruptionSets made of them."""
    options: tuple[str, ...] = Field(default=())
    """Digests of the options of the datasets that had them."""


def keys_of(named: Collection[str], dataset: DatasetConfig, store: Store) -> tuple[str, ...]:
    """Return the keys of images, each named by its key, or by a name that its file had in any version of the dataset.

    Raises:
        ValueError: One is neither.
    """
    known = [store.by_digest(ShardSet, record["shards"]) for record in versions(dataset, store)]
    memories = [memory for shards in known if shards and (memory := Memory.read(shards.path))]
    found = set()
    for name in named:
        rows = [row for memory in memories for row in memory.named(name) if row["key"]]
        if not rows and not _KEY.fullmatch(name):
            raise ValueError(
                f"{name}: expected the key of an image, or the name of a file in a version of this dataset"
            )
        found |= {row["key"].decode() for row in rows} or {name}
    return tuple(sorted(found))


def holding(keys: Collection[str], store: Store) -> Holding:
    """Return where the images of these keys are; every tar of the store is looked through.

    Raises:
        ArtifactError: A shard is missing, so that nobody knows what is in it.
    """
    seen, learnt, holders, options = set(), set(), set(), set()
    everything = {shards.digest: shards for shards in _all_shards(store)}
    for shards in everything.values():
        if found := {split for split in shards.splits if set(keys).intersection(ShardReader(shards, split).keys)}:
            seen.add(shards.digest)
            learnt |= {shards.digest} if found - {"test"} else set()
            options.add(digest_of(store.manifest(ShardSet.folder(), shards.digest)["inputs"]["dataset"]))
        if any(_holds(path, keys) for path in _own_tars(shards)):
            holders.add(shards.digest)
    learnt |= _before((everything[digest] for digest in learnt), Forgotten.of(store))
    doomed = seen | holders
    while more := {one.digest for one in everything.values() if doomed.intersection(one.holders)} - doomed:
        doomed |= more
    sets = [one.digest for one in _all_frozen(store) if any(_holds(one.path / tar.name, keys) for tar in one.shards)]
    return Holding(
        keys=tuple(sorted(keys)),
        seen_in=tuple(sorted(seen)),
        learnt_in=tuple(sorted(learnt)),
        versions=tuple(sorted(doomed)),
        corruption_sets=tuple(sorted(sets)),
        options=tuple(sorted(options)),
    )


def _before(shards: Iterable[ShardSet], forgotten: Forgotten) -> set[str]:
    """Return the versions, deleted when another image was forgotten, that those grew from, or that grew from such.

    Models that learnt from them learnt from the images that they kept. What a version gained meanwhile counts, too: a
    deleted version does not tell any more what it held.
    """
    bases = {one.growth.base for one in shards if one.growth is not None}
    return {digest for one in forgotten.requests if bases.intersection(one.versions) for digest in one.versions}


def forbid(held: Holding, store: Store, reason: str) -> None:
    """Record that the images are forgotten: they are refused from now on, and nothing points to what holds them."""
    asked = Request(
        keys=held.keys,
        options=held.options,
        versions=tuple(sorted({*held.versions, *held.learnt_in})),
        corruption_sets=held.corruption_sets,
        reason=reason,
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )
    request(store, asked)


def delete(store: Store, cache: Path) -> None:
    """Delete the artifacts that hold forgotten images, and what was decoded or encoded from them on this machine.

    Killed on the way, the same call goes on: what points to others goes first.
    """
    forgotten = Forgotten.of(store)  # for of what a kill has left half deleted no manifest speaks any more
    for digest in forgotten.corruption_sets:
        erase(store, f"{CorruptionSet.folder()}/{digest}")
    left = {shards.digest: set(shards.holders) for shards in _all_shards(store) if shards.digest in forgotten.versions}
    for digest in sorted(forgotten.versions, key=lambda one: sum(one in holders for holders in left.values())):
        erase(store, f"{ShardSet.folder()}/{digest}")
    for digest in forgotten.versions:
        for pixels in cache.glob(f"{digest}-*.pixels"):
            pixels.unlink(missing_ok=True)
    for tar in (cache / HELD).glob("*.tar"):  # of whatever version; they are fetched again
        tar.unlink(missing_ok=True)
    for spool in (store.root / SPOOLS).glob("*.spool"):  # of attempts that were not finished
        spool.unlink(missing_ok=True)


def remains(store: Store) -> Iterator[str]:
    """Yield in words where an image that is forgotten still is: in a tar, or in an index. Nothing is the proof.

    Every tar of every finished artifact in the store is looked through, by the names of its members. Of the artifacts
    that had to be deleted no file may be left, in the store or on this machine.
    """
    keys = Forgotten.of(store).keys
    try:
        held = holding(keys, store)
    except ArtifactError as error:
        yield f"not proved: {error}"
        return
    for digest in held.versions:
        yield f"{ShardSet.folder()}/{digest} holds images that were to be forgotten, or points to one that does"
    for digest in held.corruption_sets:
        yield f"{CorruptionSet.folder()}/{digest} holds images that were to be forgotten"
    forgotten = Forgotten.of(store)
    deleted = {
        *(f"{ShardSet.folder()}/{digest}" for digest in forgotten.versions - set(held.versions)),
        *(f"{CorruptionSet.folder()}/{digest}" for digest in forgotten.corruption_sets - set(held.corruption_sets)),
    }
    for artifact in sorted(deleted):
        yield from (f"{name} is left of what was to be deleted" for name in left_of(store, artifact))


def _holds(tar: Path, keys: Collection[str]) -> bool:
    if not tar.is_file():
        raise ArtifactError(f"{tar}: missing, so nobody knows what is in it")
    return any(member.name.partition(".")[0] in keys for member in members(tar))


def _own_tars(shards: ShardSet) -> Iterator[Path]:
    return (shards.tar(tar) for facts in shards.splits.values() for tar in facts.shards if tar.holder is None)


def _all_shards(store: Store) -> Iterator[ShardSet]:
    return (store.get(ShardSet, digest) for digest in store.digests(ShardSet.folder()))


def _all_frozen(store: Store) -> Iterator[CorruptionSet]:
    return (store.get(CorruptionSet, digest) for digest in store.digests(CorruptionSet.folder()))
