"""Versions: the ShardSets that were made of one dataset over time, and the one from which the next can grow."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.artifacts import ArtifactError, Store, read_manifest, sha256_of
from components.artifacts.records import Record, Records
from components.artifacts.streaming import AbsentFiles
from components.data.dataset import SPLITS, DatasetConfig
from components.data.grown_from import Base
from components.data.memory import ITEMS, TEXTS, Memory
from components.data.shardset import ShardSet
from components.section import digest_of

CODE = 1
"""Raised whenever equal inputs would give other images."""
_TRIED = 3
"""Versions that are looked at before a dataset is sharded whole."""
_log = logging.getLogger(__name__)


def fitted(dataset: DatasetConfig) -> DatasetConfig:
    """Return the dataset with its source as it is for its size."""
    return dataset.model_copy(update={"source": dataset.source.for_size(dataset.size)})


def options_of(dataset: DatasetConfig) -> dict[str, Any]:
    """Return all of a dataset but its source, and what training leaves out: the shards hold all images."""
    return dataset.model_dump(mode="json", exclude={"source", "near_copies"})


def line_of(dataset: DatasetConfig) -> str:
    """Return what the versions of one dataset share: its options, and where its source lies."""
    return digest_of([CODE, options_of(dataset), fitted(dataset).source.model_dump(mode="json")])


def versions(dataset: DatasetConfig, store: Store) -> list[Record]:
    """Return the records of the dataset's versions in the order in which they were first made."""
    return _records(dataset, store).all()


def remember(dataset: DatasetConfig, shards: ShardSet, store: Store) -> None:
    """Record a version of the dataset, unless it is recorded."""
    record = {"shards": shards.digest, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    _records(dataset, store).append(record, same=lambda known: known["shards"] == shards.digest)


def base_of(dataset: DatasetConfig, store: Store) -> Base | None:
    """Return the last version of the dataset that is whole, or None.

    Records are not trusted: of what they name, index, labels and memory are hashed, and each tar must have its size.
    """
    for record in _latest(versions(dataset, store)):
        try:
            shards = store.by_digest(ShardSet, record["shards"])
            memory = shards and _checked(shards)
        except (ArtifactError, ValueError, FileNotFoundError) as error:
            _log.warning("data version %s is not built upon: %s", record["shards"], error)
            continue
        if shards and memory:
            return Base(shards, memory)
    return None


def _latest(records: list[Record]) -> Iterator[Record]:
    yield from reversed(records[-_TRIED:])


def _checked(shards: ShardSet) -> Memory | None:
    """Return the memory of a version after a look at all that the next one relies on; None where it has none.

    Raises:
        ArtifactError: Something is missing or altered.
        ValueError: The memory is not one.
    """
    files: dict[str, dict[str, Any]] = read_manifest(shards.path)["files"]
    if ITEMS not in files:
        return None
    small = [ITEMS, TEXTS, *(name for split in SPLITS for name in (f"{split}.index.npy", f"{split}.labels.npy"))]
    for name in small:
        if name in files and _sha256(shards.path / name) != files[name]["sha256"]:
            raise ArtifactError(f"{shards.path / name}: missing, or its sha256 is not the one in the manifest")
    tars = (shard for facts in shards.splits.values() for shard in facts.shards)
    for shard in tars if AbsentFiles.of(shards) is None else ():  # else they are not here, and not built upon either
        path = shards.tar(shard)
        if not path.is_file() or path.stat().st_size != shard.bytes:
            raise ArtifactError(f"{path}: missing, or not of the {shard.bytes} bytes that the manifest says")
    return Memory.read(shards.path)


def _sha256(path: Path) -> str | None:
    return sha256_of(path) if path.is_file() else None


def _records(dataset: DatasetConfig, store: Store) -> Records:
    return store.records(f"datasets/{line_of(dataset)}")
