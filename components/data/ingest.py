"""Read a source once: check what is new in it, spool the images, remember what became of every file."""

import hashlib
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from components.data.contents import Contents
from components.data.dataset import DatasetConfig
from components.data.decoders import Made
from components.data.decoding import Decoding, decoding
from components.data.forgotten import Forgotten
from components.data.ledger import Ledger, Refusal
from components.data.memory import PACKED, Memory, Outcome
from components.data.preparation import Preparation
from components.data.scratch import Scratch
from components.data.sources import ContentDigest, Problem
from components.data.spool import Spool
from components.data.survey import Seen, sha256_of_known, walk
from components.executors import ExecutorConfig, in_order

Progress = Callable[[int, int | None], None]

_CHUNK_ITEMS = 32
_UNDECIDED = False
"""Which file stands for an image is known when all are."""


@dataclass(frozen=True, slots=True)
class _Looked:
    """A file, and what is known of it before it is decoded."""

    seen: Seen
    """Without its bytes."""
    sha256: bytes
    label: str | None
    caption: str | None
    outcome: Outcome | None
    """None where it has to be decoded."""


@dataclass(frozen=True, slots=True)
class _Result:
    looked: _Looked
    outcome: Outcome
    image: bytes | None = None
    """The encoded image of an outcome that nobody knew before; empty for a refusal."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """What a source holds."""

    ledger: Ledger
    """A row for each of its files, in its order."""
    read: int
    """Files whose bytes were read; of the others was known what they hold."""
    content_digest: str


def ingest(
    dataset: DatasetConfig,
    memory: Memory,
    spool: Spool,
    forgotten: Forgotten,
    scratch: Scratch,
    executor: ExecutorConfig,
    progress: Progress | None = None,
) -> Ingested:
    """Check all items of `dataset.source` and give what they are; only what is new is read, decoded and encoded.

    This process holds a few chunks of items, whatever the source's size; what is known of all lies on the disk.

    Args:
        dataset: Source, size, encoding and limits.
        memory: What an earlier version of the same dataset knows.
        spool: Takes the images that are new, and knows those of an interrupted attempt.
        forgotten: Images to refuse, whatever is known of them.
        scratch: Where the rows of all files lie.
        executor: Who decodes and encodes. The result does not depend on it.
        progress: Called with items done and items in all (None: not known).

    Raises:
        ValueError: More items are refused than `rejected_limit_fraction` allows.
    """
    total = dataset.source.count()
    guarded = not dataset.source.is_made_here
    taken = _Taken(dataset, spool, Ledger(scratch))
    with (
        warnings.catch_warnings(),
        decoding(Preparation.of(dataset), executor, guarded=guarded) as decoders,
    ):
        # Pillow warns of odd files on top of what is reported here.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        look = partial(_look, memory, Contents(memory, scratch), spool)
        for results in _each_chunk(walk(dataset.source, memory), look, decoders):
            for result in results:
                taken.add(_unless_forgotten(result, forgotten))
            if total is not None:
                taken.check_limit(total)
            if progress is not None:
                progress(taken.ledger.found, total)
    taken.check_limit(taken.ledger.found)
    return Ingested(taken.ledger, taken.read, taken.digest.hexdigest())


@dataclass(slots=True)
class _Taken:
    """What was taken in so far, in the source's order."""

    dataset: DatasetConfig
    spool: Spool
    ledger: Ledger
    read: int = 0
    digest: ContentDigest = field(default_factory=ContentDigest)

    def add(self, result: _Result) -> None:
        """Take in one file."""
        looked, outcome, number = result.looked, result.outcome, self.ledger.texts.number
        seen = looked.seen
        unread = seen.item is not None and seen.item.problem is not None
        self.read += seen.item is not None
        reason = outcome.problem.reason if outcome.problem and unread else None
        self.digest.add_known(seen.name, looked.sha256.hex(), reason, looked.label)
        if result.image is not None:
            self.spool.add(looked.sha256, outcome, result.image)
        if outcome.problem is not None:
            self.ledger.refuse(Refusal(seen.name, outcome.problem))
        why = (outcome.problem.reason, outcome.problem.found) if outcome.problem else ("", "")
        numbers = map(number, (looked.label, looked.caption, outcome.original_format, *why))
        size, key = outcome.original_size, outcome.key.encode()
        item = PACKED.pack(seen.id, looked.sha256, key, *numbers, *size, unread, _UNDECIDED)
        self.ledger.add(item, outcome.key, b"" if outcome.problem else _facts(looked, outcome))

    def check_limit(self, total: int) -> None:
        """Refuse a source of `total` files more of which cannot be used than the dataset allows."""
        limit, counts = self.dataset.rejected_limit_fraction, self.ledger.refused.copy()
        del counts["forgotten"]
        if counts.total() <= limit * total:
            return
        few = self.ledger.first_unusable
        first = "; ".join(f"{one.name} ({one.problem.reason}: {one.problem.found})" for one in few)
        raise ValueError(
            f"{counts.total()} of the {self.ledger.found} files read so far (of {total}) cannot be used, more than the "
            f"{limit:.0%} that dataset.rejected_limit_fraction allows: "
            f"{', '.join(f'{count} {reason}' for reason, count in sorted(counts.items()))}. The first: {first}"
        )


def _look(memory: Memory, contents: Contents, spool: Spool, seen: Seen) -> _Looked:
    """Return what is known of a file, by its stamp or else by its bytes."""
    item, row = seen.item, seen.known
    if row is not None:
        return _Looked(seen, sha256_of_known(row), memory.label(row), memory.caption(row), memory.outcome(row))
    assert item is not None  # one of the two is there
    sha256 = hashlib.sha256(item.content).digest()
    known = Outcome(problem=item.problem) if item.problem else contents.find(sha256) or spool.find(sha256)
    return _Looked(replace(seen, item=replace(item, content=b"")), sha256, item.label, item.caption, known)


def _each_chunk(seen: Iterable[Seen], look: Callable[[Seen], _Looked], decoders: Decoding) -> Iterator[list[_Result]]:
    """Yield results chunk by chunk in the source's order, with a bounded number of chunks under way."""

    def parted() -> Iterator[tuple[list[_Looked], list[bytes]]]:
        for chunk in _chunks(seen, decoders.chunk_bytes):
            looked = [look(one) for one in chunk]
            yield (
                looked,
                [one.item.content for one, at in zip(chunk, looked, strict=True) if one.item and not at.outcome],
            )

    for looked, made in in_order(decoders.submit, parted(), decoders.at_once):
        yield _results(looked, made)


def _results(looked: Sequence[_Looked], made: Sequence[Made]) -> list[_Result]:
    made_of = iter(made)
    return [_Result(one, one.outcome) if one.outcome else _result(one, next(made_of)) for one in looked]


def _result(looked: _Looked, made: Made) -> _Result:
    if isinstance(made, Problem):
        return _Result(looked, Outcome(problem=made), b"")
    return _Result(looked, Outcome(made.key, made.original_format, made.original_size), made.image)


def _unless_forgotten(result: _Result, forgotten: Forgotten) -> _Result:
    problem = forgotten.problem(result.outcome.key)
    return result if problem is None else replace(result, outcome=Outcome(problem=problem), image=None)


def _facts(looked: _Looked, outcome: Outcome) -> bytes:
    facts = {"name": looked.seen.name, "format": outcome.original_format, "size": outcome.original_size}
    if looked.label is not None:
        facts["class"] = looked.label
    if looked.caption is not None:
        facts["caption"] = looked.caption
    return json.dumps(facts, separators=(",", ":")).encode()


def _chunks(seen: Iterable[Seen], chunk_bytes: int) -> Iterator[list[Seen]]:
    chunk: list[Seen] = []
    size = 0
    for one in seen:
        chunk.append(one)
        size += len(one.item.content) if one.item else 0
        if len(chunk) == _CHUNK_ITEMS or size >= chunk_bytes:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
