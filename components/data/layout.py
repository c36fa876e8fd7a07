"""Layout: in which tars a version's images lie: those of the version it grew from, and new ones for what is new."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from components.data.dataset import SPLITS, DatasetConfig
from components.data.grown_from import Base, kept
from components.data.images import NOWHERE, Image, Images
from components.data.preparation import KEY_DIGITS
from components.data.rows_on_disk import AT_ONCE, Rows, write_rows
from components.data.shardset import ShardFacts, SplitFacts
from components.data.spool import Entry, Spool
from components.data.tars import Sample, members, write_tars

INDEX = np.dtype([("key", f"S{KEY_DIGITS}"), ("shard", "<u4"), ("offset", "<u8"), ("bytes", "<u8")])
"""Of each image of a split, sorted by key: in which of the split's tars it lies, and where."""
_Place = tuple[bytes, int, int, int]
"""A row of it."""


@dataclass(frozen=True, slots=True)
class Classes:
    """The names of all classes in order, and the place among them of each text that is one."""

    names: Sequence[str]
    numbers: Mapping[int, int]
    """By the number of the text; empty where images have no classes."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Lays out one version split after split, in its draft."""

    draft: Path
    dataset: DatasetConfig
    spool: Spool
    base: Base | None
    leaving: Collection[str] = ()
    """Digests of ShardSets that will be deleted: what counts in their tars is copied."""

    def write(self, images: Images, classes: Classes) -> dict[str, SplitFacts]:
        """Write tars, indexes and labels of all splits, and return what they hold."""
        return {split: self._write_split(number, images, classes) for number, split in enumerate(SPLITS)}

    def _write_split(self, number: int, images: Images, classes: Classes) -> SplitFacts:
        """Write a split's index and labels, and the tars of what stays in none of the base's."""
        split = SPLITS[number]
        staying = _Staying.of(self, split, images.of_split(number), classes)
        anew = staying.anew(images.of_split(number))
        written = write_tars(self._samples(split, anew, classes), self.draft, split, int(self.dataset.shard_bytes))
        count = int(staying.live.sum()) + sum(shard.samples for shard in written)
        shards = (*staying.tars, *written)
        places = merge(
            staying.places(images.of_split(number)), self._placed(written, len(staying.tars)), key=itemgetter(0)
        )
        write_rows(self.draft / f"{split}.index.npy", INDEX, count, _blocks(places, INDEX))
        if not classes.numbers:
            return SplitFacts(samples=count, shards=shards)
        labels = (classes.numbers[one.label] for one in images.of_split(number))
        counts = np.zeros(len(classes.names), np.int64)
        path = self.draft / f"{split}.labels.npy"
        write_rows(path, np.dtype(np.uint16), count, _counted(_blocks(labels, np.dtype(np.uint16)), counts))
        return SplitFacts(samples=count, shards=shards, classes=dict(zip(classes.names, counts.tolist(), strict=True)))

    def _samples(self, split: str, images: Iterable[Image], classes: Classes) -> Iterator[Sample]:
        """Yield the samples of some images: copied from a tar of the base where it has them, else from the spool."""
        suffix, checked = self.dataset.encoding.suffix, set[int]()
        for one in images:
            label = {"cls": str(classes.numbers[one.label]).encode()} if classes.numbers else {}
            yield Sample(one.key.decode(), {suffix: self._image(split, one, checked), "json": one.facts, **label})

    def _image(self, split: str, one: Image, checked: set[int]) -> bytes:
        if one.tar == NOWHERE or self.base is None:
            return self.spool.image(Entry(one.key, one.start, one.size))
        if one.tar not in checked:
            self.base.check(split, one.tar)
            checked.add(one.tar)
        return self.base.image(split, one.tar, one.start, one.size)

    def _placed(self, shards: Sequence[ShardFacts], first: int) -> Iterator[_Place]:
        """Yield where each image lies, as read back from the finished tars."""
        for number, shard in enumerate(shards, start=first):
            for member in members(self.draft / shard.name):
                if not member.name.endswith((".json", ".cls")):
                    yield member.name.partition(".")[0].encode(), number, member.offset, member.bytes


@dataclass(frozen=True, slots=True)
class _Staying:
    """Which of a split's images are read from the base's tars; all others are written."""

    classes: Classes
    live: Int64[np.ndarray, " tars"]
    """How many stay in each tar of the base."""
    tars: tuple[ShardFacts, ...]
    """Those of the base's tars that have any, in order."""

    @classmethod
    def of(cls, writer: Writer, split: str, images: Iterable[Image], classes: Classes) -> "_Staying":
        """Decide which of the base's tars stay."""
        base = writer.base
        if base is None:
            return cls(classes, np.zeros(0, np.int64), ())
        facts = base.shards.splits[split].shards
        every = cls(classes, np.ones(len(facts), np.int64), ())
        live, is_more = np.zeros(len(facts), np.int64), False
        for one in images:
            if every.holds(one):
                live[one.tar] += 1
            else:
                is_more = True
        stay = kept(facts, live, int(writer.dataset.shard_bytes), is_more=is_more)
        stay &= np.array([(tar.holder or base.shards.digest) not in writer.leaving for tar in facts], bool)
        live[~stay] = 0
        return cls(classes, live, tuple(base.pointed(split, live)))

    def holds(self, one: Image) -> bool:
        """Return whether an image stays where the base has it: with the same facts, of a class of the same number."""
        if not one.same or one.tar == NOWHERE or not self.live[one.tar]:
            return False
        return one.was == NOWHERE or not self.classes.numbers or one.was == self.classes.numbers[one.label]

    def anew(self, images: Iterable[Image]) -> Iterator[Image]:
        """Yield those of some images that do not stay."""
        return (one for one in images if not self.holds(one))

    def places(self, images: Iterable[Image]) -> Iterator[_Place]:
        """Yield where those of some images lie that stay, by the order of `tars`."""
        numbers = (np.cumsum(self.live > 0) - 1).tolist()
        return ((one.key, numbers[one.tar], one.start, one.size) for one in images if self.holds(one))


def _blocks(rows: Iterator[Any], dtype: np.dtype[Any]) -> Iterator[Rows]:
    while some := list(islice(rows, AT_ONCE)):
        yield np.array(some, dtype)


def _counted(blocks: Iterable[Rows], counts: Int64[np.ndarray, " classes"]) -> Iterator[Rows]:
    """Yield blocks of classes' numbers, and add to `counts` how often each is there."""
    for block in blocks:
        counts += np.bincount(block, minlength=len(counts))
        yield block
