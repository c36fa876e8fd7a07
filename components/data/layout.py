"""Layout: in which tars a version's images lie: those of the version it grew from, and new ones for what is new."""

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64, Shaped, UInt16

from components.artifacts import ArtifactError
from components.data.dataset import SPLITS, DatasetConfig
from components.data.ingest import Ingested
from components.data.memory import Memory, Rows, find
from components.data.preparation import KEY_DIGITS
from components.data.shardset import ShardFacts, ShardSet, SplitFacts, check_tar
from components.data.spool import Spool
from components.data.tars import Sample, members, write_tars

INDEX = np.dtype([("key", f"S{KEY_DIGITS}"), ("shard", "<u4"), ("offset", "<u8"), ("bytes", "<u8")])
Index = Shaped[np.ndarray, " images"]
"""Of `INDEX`, sorted by key: in which of the split's tars each image lies, and where."""
SMALL_TARS = 8
"""A split has no more tars under half of `shard_bytes`: they are joined when one more would come."""


class DamagedBaseError(ArtifactError):
    """A tar of an earlier version, from which images were to be copied, is not what its manifest says."""


@dataclass(frozen=True, slots=True)
class Base:
    """The version that another grows from."""

    shards: ShardSet
    memory: Memory

    def index(self, split: str) -> Index:
        """Return where the split's images lie."""
        index: Index = np.load(self.shards.path / f"{split}.index.npy", allow_pickle=False)
        return index

    def labels(self, split: str) -> UInt16[np.ndarray, " images"] | None:
        """Return the numbers of the split's classes in the order of the index; None where there are none."""
        path = self.shards.path / f"{split}.labels.npy"
        return np.load(path, allow_pickle=False) if path.is_file() else None


@dataclass(frozen=True, slots=True)
class Images:
    """The images of a version, sorted by key, each once: the file that stands for it, and its class's number."""

    keys: Shaped[np.ndarray, " images"]
    rows: Int64[np.ndarray, " images"]
    """Places in the rows of `Ingested`."""
    labels: UInt16[np.ndarray, " images"] | None
    same: Bool[np.ndarray, " images"]
    """Whether the base has it with the same facts."""

    def where(self, chosen: Bool[np.ndarray, " images"]) -> "Images":
        """Return some of them."""
        labels = None if self.labels is None else self.labels[chosen]
        return Images(self.keys[chosen], self.rows[chosen], labels, self.same[chosen])


@dataclass(frozen=True, slots=True)
class Writer:
    """Lays out one version after the other split, in its draft."""

    draft: Path
    dataset: DatasetConfig
    ingested: Ingested
    spool: Spool
    base: Base | None
    leaving: Collection[str] = ()
    """Digests of ShardSets that will be deleted: what counts in their tars is copied."""

    def write(self, images: Images, classes: Sequence[str]) -> dict[str, SplitFacts]:
        """Write tars, indexes and labels of all splits, and return what they hold."""
        split_of = self.dataset.split.split_of
        numbers = np.array([SPLITS.index(split_of(key.decode())) for key in images.keys], np.uint8)
        splits = {}
        for number, split in enumerate(SPLITS):
            here = images.where(numbers == number)
            shards = self._write_split(split, here)
            counts: dict[str, int] = {}
            if here.labels is not None:
                np.save(self.draft / f"{split}.labels.npy", here.labels, allow_pickle=False)
                counted = np.bincount(here.labels, minlength=len(classes)).tolist()
                counts = dict(zip(classes, counted, strict=True))
            splits[split] = SplitFacts(samples=len(here.keys), shards=shards, classes=counts)
        return splits

    def _write_split(self, split: str, images: Images) -> tuple[ShardFacts, ...]:
        """Write a split's index and the tars of what stays in none of the base's; return all its tars."""
        earlier = _Earlier.of(self.base, split, images, int(self.dataset.shard_bytes), self.leaving)
        anew = ~earlier.stays
        samples = self._samples(images.where(anew), earlier, earlier.places[anew])
        written = write_tars(samples, self.draft, split, int(self.dataset.shard_bytes))
        index = np.concatenate([earlier.index(), *self._indexed(written, len(earlier.tars()))])
        index = index[np.argsort(index["key"], kind="stable")]
        np.save(self.draft / f"{split}.index.npy", index, allow_pickle=False)
        return (*earlier.tars(), *written)

    def _samples(self, images: Images, earlier: "_Earlier", places: Int64[np.ndarray, " images"]) -> Iterator[Sample]:
        """Yield the samples of some images: copied from a tar of the base where it has them, else from the spool."""
        spooled = self.spool.images()
        entries = find(spooled["key"], images.keys)
        suffix = self.dataset.encoding.suffix
        earlier.check(places)
        for number, place in enumerate(places.tolist()):
            image = earlier.image(place) if place >= 0 else self.spool.image(spooled[entries[number]])
            label = {} if images.labels is None else {"cls": str(images.labels[number]).encode()}
            facts = self.ingested.facts(int(images.rows[number]))
            yield Sample(images.keys[number].decode(), {suffix: image, "json": facts, **label})

    def _indexed(self, shards: Sequence[ShardFacts], first: int) -> Iterator[Index]:
        """Yield where each image lies, as read back from the finished tars."""
        for number, shard in enumerate(shards, start=first):
            found = [
                (member.name.partition(".")[0].encode(), number, member.offset, member.bytes)
                for member in members(self.draft / shard.name)
                if not member.name.endswith((".json", ".cls"))
            ]
            yield np.array(found, INDEX)


@dataclass(frozen=True, slots=True)
class _Earlier:
    """A split of the base, seen from the version that grows from it."""

    shards: ShardSet | None
    facts: tuple[ShardFacts, ...]
    """All tars of the base's split."""
    rows: Shaped[np.ndarray, " stored"]
    """Its index."""
    places: Int64[np.ndarray, " images"]
    """Where in its index each image of the new version is; -1 where it is not."""
    stays: Bool[np.ndarray, " images"]
    """Whether the image is read from the base's tar; all others are written."""

    @classmethod
    def of(
        cls, base: Base | None, split: str, images: Images, shard_bytes: int, leaving: Collection[str]
    ) -> "_Earlier":
        """Return the base's split, and decide which of its tars stay."""
        if base is None:
            none = np.full(len(images.keys), -1, np.int64)
            return cls(None, (), np.empty(0, INDEX), none, none >= 0)
        rows, facts = base.index(split), base.shards.splits[split].shards
        places = find(rows["key"], images.keys)
        stays = (places >= 0) & images.same
        numbers = base.labels(split)
        if images.labels is not None and numbers is not None and len(numbers):
            stays &= numbers[places] == images.labels
        live = np.bincount(rows["shard"][places[stays]], minlength=len(facts))
        kept = _kept(facts, live, shard_bytes, is_more=not stays.all())
        kept &= np.array([(tar.holder or base.shards.digest) not in leaving for tar in facts], bool)
        stays[stays] = kept[rows["shard"][places[stays]]]
        return cls(base.shards, facts, rows, places, stays)

    def tars(self) -> tuple[ShardFacts, ...]:
        """Return the base's tars that are pointed to, with what counts in them now."""
        if self.shards is None:
            return ()
        live = self._live()
        return tuple(
            shard.model_copy(
                update={
                    "samples": int(count),
                    "gone": shard.samples + shard.gone - int(count),
                    "holder": shard.holder or self.shards.digest,
                }
            )
            for shard, count in zip(self.facts, live, strict=True)
            if count
        )

    def index(self) -> Index:
        """Return where the images that stay lie, in the order of `tars`."""
        rows: Index = self.rows[self.places[self.stays]]
        numbers = np.cumsum(self._live() > 0) - 1
        rows["shard"] = numbers[rows["shard"]]
        return rows

    def check(self, places: Int64[np.ndarray, " images"]) -> None:
        """Recompute the sha256 of the tars from which these images are copied.

        Raises:
            DamagedBaseError: One is missing or altered.
        """
        for number in np.unique(self.rows["shard"][places[places >= 0]]):
            try:
                check_tar(self._path(int(number)), self.facts[number])
            except ArtifactError as error:
                raise DamagedBaseError(str(error)) from error

    def image(self, place: int) -> bytes:
        """Return the stored bytes of the image at a place of the base's index."""
        row = self.rows[place]
        descriptor = os.open(self._path(int(row["shard"])), os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, int(row["bytes"]), int(row["offset"]))
        finally:
            os.close(descriptor)

    def _path(self, number: int) -> Path:
        if self.shards is None:
            raise DamagedBaseError("images of an earlier version were asked for, and there is none")
        return self.shards.tar(self.facts[number])

    def _live(self) -> Int64[np.ndarray, " tars"]:
        return np.bincount(self.rows["shard"][self.places[self.stays]], minlength=len(self.facts))


def _kept(
    facts: Sequence[ShardFacts], live: Int64[np.ndarray, " tars"], shard_bytes: int, *, is_more: bool
) -> Bool[np.ndarray, " tars"]:
    """Return which tars stay as they are.

    Those go of whose images more than half left; and all small ones, if there would be more than `SMALL_TARS` with the
    one that is to come (`is_more`). What still counts in them is copied into new tars.
    """
    held = np.array([shard.samples + shard.gone for shard in facts], np.int64)
    kept = 2 * live >= held
    small = kept & np.array([2 * shard.bytes < shard_bytes for shard in facts], bool) & (live > 0)
    if int(small.sum()) + (is_more or bool((live[~kept] > 0).any())) > SMALL_TARS:
        kept &= ~small
    return kept


def unaltered(
    keys: Shaped[np.ndarray, " images"], rows: Rows, texts: Sequence[str], base: Base | None
) -> Bool[np.ndarray, " images"]:
    """Return of which images the base holds the same facts: name, format, size, class and caption of the same file.

    Args:
        keys: The images' keys.
        rows: The files that stand for them.
        texts: What the rows' numbers mean.
        base: The earlier version; None: there is none.
    """
    if base is None:
        return np.zeros(len(keys), bool)
    memory = base.memory
    standing = memory.rows[memory.rows["stands"]]
    standing = standing[np.argsort(standing["key"], kind="stable")]
    places = find(standing["key"], keys)
    found = places >= 0
    if not found.any():
        return found
    numbers = {text: number for number, text in enumerate(texts)}
    translated = np.array([numbers.get(text, -1) for text in memory.texts], np.int64)
    before = standing[places]
    for field in ("label", "caption", "format"):
        found &= translated[before[field]] == rows[field]
    for field in ("width", "height"):
        found &= before[field] == rows[field]
    same: Bool[np.ndarray, " images"] = found & (_names(before) == _names(rows))
    return same


def _names(rows: Rows) -> Shaped[np.ndarray, " rows"]:
    """Return the halves of the ids that follow from the names."""
    names: Rows = np.ascontiguousarray(rows["id"]).view("S16").reshape(-1, 2)[:, 0]
    return names
