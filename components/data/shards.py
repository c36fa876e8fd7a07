"""From a dataset's config section to its ShardSet: written once, found again by what determined it, grown."""

import json
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt16

from components.artifacts import Store
from components.data.dataset import DatasetConfig
from components.data.forgotten import Forgotten
from components.data.ingest import Ingested, Progress, Refusal, ingest
from components.data.layout import Base, DamagedBaseError, Images, Writer, unaltered
from components.data.memory import NOTHING, Memory, find
from components.data.reader import ShardReader
from components.data.shardset import Growth, ShardSet
from components.data.spool import SPOOLS, Spool
from components.data.survey import fingerprint_of
from components.data.versions import CODE, base_of, fitted, line_of, options_of, remember
from components.executors import LOCAL, ExecutorConfig
from components.pictures.encoding import png
from components.pictures.figures import contact_sheet

_EXAMPLES = 36
_log = logging.getLogger(__name__)


def write_shards(
    dataset: DatasetConfig, store: Store, progress: Progress | None = None, executor: ExecutorConfig = LOCAL
) -> ShardSet:
    """Return the dataset's shards, reading of the source only what the store's versions of it lack.

    What is read from them depends on the source's content and the options alone, not on the order of its files, the
    place where it lies, those who decode, or the versions before. Which tars hold it depends on those versions.
    An interrupted call is continued by the next one; of several at once on one machine, one works and the others wait.

    Args:
        dataset: The source and what to make of it.
        store: Where the artifact is kept.
        progress: Called with items done and items in all (None: not known).
        executor: Who decodes and encodes: processes of this machine, its threads where the source's pictures are made
            here, or the workers of a cluster.

    Raises:
        ValueError: The source is not there, holds no usable image, changes while it is read, or more of its files
            are refused than `rejected_limit_fraction` allows.
    """
    dataset = fitted(dataset)
    shards = store.find(ShardSet, _inputs(dataset, base_of(dataset, store), Forgotten.of(store)))
    if shards is None:
        with Spool.open(store.root / SPOOLS / f"{line_of(dataset)}.spool") as spool:
            base = base_of(dataset, store.whole)  # another process may have made one while this one waited
            try:
                shards = _written(dataset, store, base, spool, progress, executor)
            except DamagedBaseError as error:
                _log.warning("data version %s is not built upon: %s", base and base.shards.digest, error)
                shards = _written(dataset, store, None, spool, progress, executor)
            spool.discard()
    remember(dataset, shards, store)
    return shards


def plan_shards(dataset: DatasetConfig, store: Store) -> tuple[ShardSet | None, int | None]:
    """Return the shards that `write_shards` would reuse, if any, and the number of files in the source, if known.

    Raises:
        ValueError: The source is not there.
    """
    dataset = fitted(dataset)
    inputs = _inputs(dataset, base_of(dataset, store), Forgotten.of(store))
    return store.find(ShardSet, inputs), dataset.source.count()


def _inputs(dataset: DatasetConfig, base: Base | None, forgotten: Forgotten) -> dict[str, Any]:
    """Return all that determines the shards."""
    fingerprint = fingerprint_of(dataset.source, _memory(base))
    options = options_of(dataset)
    return {"code": CODE, "source": fingerprint, "dataset": options, **forgotten.inputs(options)}


def _memory(base: Base | None) -> Memory:
    return base.memory if base else NOTHING


def _written(
    dataset: DatasetConfig,
    store: Store,
    base: Base | None,
    spool: Spool,
    progress: Progress | None,
    executor: ExecutorConfig,
) -> ShardSet:
    """Return the dataset's version of today, made if the store lacks it, from what `base` has and the source."""
    forgotten = Forgotten.of(store)
    inputs = _inputs(dataset, base, forgotten)

    def write(draft: Path) -> Mapping[str, Any]:
        if spool.taken_up:
            _log.info("shard: %s files are known from an interrupted attempt", f"{spool.taken_up:,}")
        with ingest(dataset, _memory(base), spool, forgotten, draft / "facts", executor, progress) as ingested:
            _check_source(dataset, ingested, inputs["source"])
            images, classes = _images(dataset, ingested, base)
            splits = Writer(draft, dataset, ingested, spool, base, forgotten.versions).write(images, classes)
            _remember_items(draft, ingested, images)
        growth = _growth(ingested, images, base)
        _log.info("shard: %s", growth.facts)
        _write_refusals(draft / "rejected.jsonl", ingested.refusals)
        duplicates = int((ingested.rows["key"] != b"").sum()) - len(images.keys)
        facts = {
            "size": dataset.size,
            "source": dataset.source.describe(),
            "licence": dataset.source.licence(),
            "source_digest": inputs["source"],
            "splits": splits,
            "found": len(ingested.rows),
            "accepted": len(images.keys),
            "duplicates": duplicates,
            "rejected": dict(sorted(Counter(one.problem.reason for one in ingested.refusals).items())),
            "growth": growth,
        }
        _write_examples(draft, facts)
        return facts

    return store.materialise(ShardSet, inputs, write)


def _check_source(dataset: DatasetConfig, ingested: Ingested, fingerprint: str) -> None:
    if dataset.source.fingerprint_is_of_items and ingested.content_digest != fingerprint:
        raise ValueError(f"{dataset.source.describe()}: its files changed while they were read; start again")
    if not (ingested.rows["key"] != b"").any():
        raise ValueError(f"{dataset.source.describe()}: {len(ingested.rows)} files found, none of them a usable image")


def _images(dataset: DatasetConfig, ingested: Ingested, base: Base | None) -> tuple[Images, list[str]]:
    """Return the images, each once, and the names of all classes in order."""
    standing = _standing(ingested)
    rows = ingested.rows[standing]
    classes, labels = (
        _classes(ingested, standing, dataset.source.describe()) if dataset.source.has_classes else ([], None)
    )
    same = unaltered(rows["key"], rows, ingested.texts, base)
    return Images(rows["key"], standing, labels, same), classes


def _standing(ingested: Ingested) -> Int64[np.ndarray, " images"]:
    """Return the rows that stand for the images, sorted by key: of equal keys the one whose facts sort first."""
    accepted = np.flatnonzero(ingested.rows["key"] != b"")
    order = accepted[np.argsort(ingested.rows["key"][accepted], kind="stable")]
    keys = ingested.rows["key"][order]
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    ends = np.append(starts[1:], len(keys))
    standing = order[starts]
    for group in np.flatnonzero(ends - starts > 1):
        same = order[starts[group] : ends[group]].tolist()
        standing[group] = min(same, key=ingested.facts)
    return standing


def _classes(
    ingested: Ingested, standing: Int64[np.ndarray, " images"], source: str
) -> tuple[list[str], UInt16[np.ndarray, " images"]]:
    """Return the names of all classes in order, and each image's number among them."""
    texts, numbers = np.unique(ingested.rows["label"][standing], return_inverse=True)
    found = np.array([ingested.texts[text] for text in texts])
    names, places = np.unique(found, return_inverse=True)
    if len(names) < 2:
        raise ValueError(
            f"{source}: all {len(standing)} images are of the class '{names[0]}', expected two classes or more"
        )
    return names.tolist(), places[numbers].astype(np.uint16)


def _remember_items(draft: Path, ingested: Ingested, images: Images) -> None:
    rows = ingested.rows
    rows["stands"][images.rows] = True
    Memory.write(draft, rows, ingested.texts)


def _growth(ingested: Ingested, images: Images, base: Base | None) -> Growth:
    known = np.empty(0, "S32") if base is None else np.unique(base.memory.rows["key"])
    kept = int((find(known, images.keys) >= 0).sum())
    return Growth(
        base=base.shards.digest if base else None,
        read=ingested.read,
        encoded=len(images.keys) - kept,
        kept=kept,
        gone=base.shards.accepted - kept if base else 0,
    )


def _write_examples(draft: Path, facts: Mapping[str, Any]) -> None:
    """Draw the first images by key, which is as good as at random, of train where it has any."""
    shards = ShardSet(path=draft, digest=draft.name, **facts)
    splits: list[str] = [name for name in shards.splits if shards.splits[name].samples]
    readers = [ShardReader(shards, name) for name in (["train"] if "train" in splits else splits)]
    found = sorted(
        (bytes(key), place, number)
        for place, reader in enumerate(readers)
        for number, key in enumerate(reader.packed_keys[:_EXAMPLES])
    )
    examples = [readers[place].image(number) for _, place, number in found[:_EXAMPLES]]
    (draft / "examples.png").write_bytes(png(contact_sheet(examples), smallest=True))


def _write_refusals(path: Path, refusals: list[Refusal]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for one in sorted(refusals, key=lambda one: (one.name, one.problem.reason, one.problem.found)):
            line = {"name": one.name, "reason": one.problem.reason, "found": one.problem.found}
            file.write(json.dumps(line) + "\n")
