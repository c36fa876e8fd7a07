"""From a dataset's config section to its ShardSet: written once, found again by what determined it, grown."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.artifacts import Store
from components.data.dataset import DatasetConfig
from components.data.forgotten import Forgotten
from components.data.grown_from import Base, DamagedBaseError
from components.data.images import ROWS, Images
from components.data.ingest import Ingested, Progress, ingest
from components.data.layout import Classes, Writer
from components.data.ledger import Ledger
from components.data.memory import NOTHING, Memory
from components.data.reader import ShardReader
from components.data.scratch import Scratch
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
        with Scratch() as scratch:
            ingested = ingest(dataset, _memory(base), spool, forgotten, scratch, executor, progress)
            ledger = ingested.ledger
            _check_source(dataset, ingested, inputs["source"])
            images = Images.of(ledger, spool, base, dataset.split, scratch)
            splits = Writer(draft, dataset, spool, base, forgotten.versions).write(
                images, _classes(dataset, ledger, images)
            )
            ledger.write_memory(draft, ROWS)
            ledger.write_refusals(draft / "rejected.jsonl")
        growth = _growth(ingested, images, base)
        _log.info("shard: %s", growth.facts)
        facts = {
            "size": dataset.size,
            "source": dataset.source.describe(),
            "licence": dataset.source.licence(),
            "source_digest": inputs["source"],
            "splits": splits,
            "found": ledger.found,
            "accepted": images.count,
            "duplicates": ledger.accepted - images.count,
            "rejected": dict(sorted(ledger.refused.items())),
            "growth": growth,
        }
        _write_examples(draft, facts)
        return facts

    return store.materialise(ShardSet, inputs, write)


def _check_source(dataset: DatasetConfig, ingested: Ingested, fingerprint: str) -> None:
    if dataset.source.fingerprint_is_of_items and ingested.content_digest != fingerprint:
        raise ValueError(f"{dataset.source.describe()}: its files changed while they were read; start again")
    if not ingested.ledger.accepted:
        raise ValueError(
            f"{dataset.source.describe()}: {ingested.ledger.found} files found, none of them a usable image"
        )


def _classes(dataset: DatasetConfig, ledger: Ledger, images: Images) -> Classes:
    """Return the names of all classes in order, if images have any."""
    if not dataset.source.has_classes:
        return Classes((), {})
    names = {number: ledger.texts.text(number) for number in images.labels}
    ordered = sorted(names.values())
    if len(ordered) < 2:
        raise ValueError(
            f"{dataset.source.describe()}: all {images.count} images are of the class '{ordered[0]}', expected two "
            "classes or more"
        )
    places = {name: place for place, name in enumerate(ordered)}
    return Classes(ordered, {number: places[name] for number, name in names.items()})


def _growth(ingested: Ingested, images: Images, base: Base | None) -> Growth:
    return Growth(
        base=base.shards.digest if base else None,
        read=ingested.read,
        encoded=images.count - images.kept,
        kept=images.kept,
        gone=base.shards.accepted - images.kept if base else 0,
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
