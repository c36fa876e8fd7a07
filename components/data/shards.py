"""From a dataset's config section to its ShardSet: written once, found again by what determined it."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Shaped, UInt16

from components.artifacts import Store
from components.data.dataset import SPLITS, DatasetConfig, SplitConfig
from components.data.ingest import KEY_DIGITS, Ingested, Progress, Refusal, Rows, ingest
from components.data.reader import decode
from components.data.shardset import ShardFacts, ShardSet, SplitFacts
from components.data.tars import Sample, members, write_tars
from components.pictures.encoding import png
from components.pictures.figures import contact_sheet

# Raised whenever equal inputs would give other files.
_CODE = 1
_EXAMPLES = 36
INDEX = np.dtype([("key", f"S{KEY_DIGITS}"), ("shard", "<u4"), ("offset", "<u8"), ("bytes", "<u8")])


def write_shards(
    dataset: DatasetConfig, store: Store, progress: Progress | None = None, workers: int | None = None
) -> ShardSet:
    """Return the dataset's shards, reading the source only if the store lacks them.

    The files depend on the source's content and the options alone, not on the order of its files, the place where it
    lies or the number of workers.

    Args:
        dataset: The source and what to make of it.
        store: Where the artifact is kept.
        progress: Called with items done and items in all (None: not known).
        workers: Threads that decode; None: one per core.

    Raises:
        ValueError: The source is not there, holds no usable image, changes while it is read, or more of its files
            are refused than `rejected_limit_fraction` allows.
    """
    dataset, inputs = _resolve(dataset)

    def write(draft: Path) -> Mapping[str, Any]:
        spool = draft / "spool"
        ingested = ingest(dataset, spool, progress, workers)
        _check_source(dataset, ingested, inputs["source"])
        with spool.open("rb") as file:
            rows = _without_duplicates(ingested.rows, file)
            splits = _write_splits(draft, rows, file, dataset)
            examples = [decode(_read_row(row, file)[0], "examples") for row in _examples(rows, dataset.split)]
        spool.unlink()
        (draft / "examples.png").write_bytes(png(contact_sheet(examples), smallest=True))
        _write_refusals(draft / "rejected.jsonl", ingested.refusals)
        return {
            "size": dataset.size,
            "source": dataset.source.describe(),
            "licence": dataset.source.licence(),
            "source_digest": inputs["source"],
            "splits": splits,
            "found": ingested.found,
            "accepted": len(rows),
            "duplicates": len(ingested.rows) - len(rows),
            "rejected": dict(sorted(Counter(one.problem.reason for one in ingested.refusals).items())),
        }

    return store.materialise(ShardSet, inputs, write)


def plan_shards(dataset: DatasetConfig, store: Store) -> tuple[ShardSet | None, int | None]:
    """Return the shards that `write_shards` would reuse, if any, and the number of files in the source, if known.

    Raises:
        ValueError: The source is not there.
    """
    dataset, inputs = _resolve(dataset)
    return store.find(ShardSet, inputs), dataset.source.count()


def _resolve(dataset: DatasetConfig) -> tuple[DatasetConfig, dict[str, Any]]:
    """Return the dataset with its source fitted to its size, and all that determines the shards."""
    source = dataset.source.for_size(dataset.size)
    options = dataset.model_dump(mode="json", exclude={"source", "near_copies"})  # the shards hold all images
    inputs = {"code": _CODE, "source": source.fingerprint(), "dataset": options}
    return dataset.model_copy(update={"source": source}), inputs


def _check_source(dataset: DatasetConfig, ingested: Ingested, fingerprint: str) -> None:
    if dataset.source.fingerprint_is_of_items and ingested.content_digest != fingerprint:
        raise ValueError(f"{dataset.source.describe()}: its files changed while they were read; start again")
    if not len(ingested.rows):
        raise ValueError(f"{dataset.source.describe()}: {ingested.found} files found, none of them a usable image")


def _read_row(row: Shaped[np.ndarray, ""] | np.void, file: BinaryIO) -> tuple[bytes, bytes]:
    file.seek(int(row["start"]))
    return file.read(int(row["image"])), file.read(int(row["facts"]))


def _without_duplicates(rows: Rows, file: BinaryIO) -> Shaped[np.ndarray, " kept"]:
    """Return the rows sorted by key, of equal keys the one whose facts sort first, whatever order they came in."""
    rows = rows[np.argsort(rows["key"], kind="stable")]
    starts = np.flatnonzero(np.concatenate(([True], rows["key"][1:] != rows["key"][:-1])))
    ends = np.append(starts[1:], len(rows))
    kept = starts.copy()
    for group in np.flatnonzero(ends - starts > 1):
        same = range(int(starts[group]), int(ends[group]))
        kept[group] = min(same, key=lambda place: _read_row(rows[place], file)[1])
    return rows[kept]


def _write_splits(draft: Path, rows: Rows, file: BinaryIO, dataset: DatasetConfig) -> dict[str, SplitFacts]:
    classes, labels = _classes(rows, file, dataset.source.describe()) if dataset.source.has_classes else ([], None)
    names = np.array([SPLITS.index(dataset.split.split_of(key.decode())) for key in rows["key"]], np.uint8)
    splits = {}
    for number, split in enumerate(SPLITS):
        here = names == number
        own = None if labels is None else labels[here]
        samples = _samples(rows[here], file, dataset.encoding.suffix, own)
        shards = write_tars(samples, draft, split, int(dataset.shard_bytes))
        count = _write_index(draft, split, shards)
        counts: dict[str, int] = {}
        if own is not None:
            np.save(draft / f"{split}.labels.npy", own, allow_pickle=False)
            counts = dict(zip(classes, np.bincount(own, minlength=len(classes)).tolist(), strict=True))
        splits[split] = SplitFacts(samples=count, shards=shards, classes=counts)
    return splits


def _classes(rows: Rows, file: BinaryIO, source: str) -> tuple[list[str], UInt16[np.ndarray, " rows"]]:
    """Return the names of all classes in order, and each row's number among them."""
    found = np.array([json.loads(_read_row(row, file)[1])["class"] for row in rows])
    names, labels = np.unique(found, return_inverse=True)
    if len(names) < 2:
        raise ValueError(
            f"{source}: all {len(rows)} images are of the class '{names[0]}', expected two classes or more"
        )
    return names.tolist(), labels.astype(np.uint16)


def _samples(rows: Rows, file: BinaryIO, suffix: str, labels: UInt16[np.ndarray, " rows"] | None) -> Iterator[Sample]:
    for place, row in enumerate(rows):
        image, facts = _read_row(row, file)
        label = {} if labels is None else {"cls": str(labels[place]).encode()}
        yield Sample(row["key"].decode(), {suffix: image, "json": facts, **label})


def _write_index(draft: Path, split: str, shards: tuple[ShardFacts, ...]) -> int:
    """Write where each image lies, as read back from the finished tars; return the number of images."""
    blocks = [np.empty(0, INDEX)]
    for number, shard in enumerate(shards):
        found = [
            (member.name.partition(".")[0].encode(), number, member.offset, member.bytes)
            for member in members(draft / shard.name)
            if not member.name.endswith((".json", ".cls"))
        ]
        blocks.append(np.array(found, INDEX))
    index = np.concatenate(blocks)
    np.save(draft / f"{split}.index.npy", index, allow_pickle=False)
    return len(index)


def _examples(rows: Rows, split: SplitConfig) -> list[np.void]:
    """Return the first images by key, which is as good as at random, from train where it has any."""
    train = []
    for row in rows:
        if split.split_of(row["key"].decode()) == "train":
            train.append(row)
        if len(train) == _EXAMPLES:
            break
    return train or list(rows[:_EXAMPLES])


def _write_refusals(path: Path, refusals: list[Refusal]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for one in sorted(refusals, key=lambda one: (one.name, one.problem.reason, one.problem.found)):
            line = {"name": one.name, "reason": one.problem.reason, "found": one.problem.found}
            file.write(json.dumps(line) + "\n")
