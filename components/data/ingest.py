"""Read a source once: check what is new in it, spool the images, remember what became of every file."""

import hashlib
import json
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt64
from PIL import Image

from components.data.check import examine
from components.data.collected import Collected
from components.data.dataset import DatasetConfig
from components.data.forgotten import Forgotten
from components.data.memory import ITEM, KEY_DIGITS, Memory, Outcome, Rows, Texts
from components.data.sources import ContentDigest, Problem
from components.data.spool import Spool
from components.data.survey import Seen, sha256_of_known, walk
from components.workspace import threads_per_process

Progress = Callable[[int, int | None], None]

_CHUNK_ITEMS = 32
_CHUNK_BYTES = 16 * 2**20
_FIRST_FEW = 5
_UNDECIDED = False
"""Which file stands for an image is known when all are."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An item that did not become an image."""

    name: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class _Result:
    seen: Seen
    sha256: bytes
    label: str | None
    outcome: Outcome
    image: bytes | None = None
    """The encoded image of an outcome that nobody knew before; empty for a refusal."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """What a source holds: one row for each of its files, in its order."""

    rows: Rows
    texts: Sequence[str]
    refusals: list[Refusal]
    read: int
    """Files whose bytes were read; of the others was known what they hold."""
    content_digest: str
    _places: UInt64[np.ndarray, "rows 2"]
    _facts: BinaryIO

    def facts(self, row: int) -> bytes:
        """Return the facts that lie beside an accepted image, as JSON: of the file in this row."""
        start, size = self._places[row].tolist()
        self._facts.seek(start)
        return self._facts.read(size)


def key_of(image: Image.Image) -> str:
    """Return 32 hexadecimal digits of the sha256 of an RGB picture's size and pixels: the image's name for good.

    Taken before a lossy encoding, so that neither key nor split depends on how images are stored.
    """
    digest = hashlib.sha256(f"{image.width}x{image.height}".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()[:KEY_DIGITS]


@contextmanager
def ingest(
    dataset: DatasetConfig,
    memory: Memory,
    spool: Spool,
    forgotten: Forgotten,
    facts: Path,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Iterator[Ingested]:
    """Check all items of `dataset.source` and give what they are; only what is new is read, decoded and encoded.

    Memory holds a few chunks of items and about 150 bytes per file, whatever the source's size.

    Args:
        dataset: Source, size, encoding and limits.
        memory: What an earlier version of the same dataset knows.
        spool: Takes the images that are new, and knows those of an interrupted attempt.
        forgotten: Images to refuse, whatever is known of them.
        facts: File to create, which holds the facts of the accepted images as long as the block runs.
        progress: Called with items done and items in all (None: not known).
        workers: Threads that decode; Pillow releases the interpreter lock. The result does not depend on it.

    Raises:
        ValueError: More items are refused than `rejected_limit_fraction` allows.
    """
    total = dataset.source.count()
    threads = workers or threads_per_process()
    with facts.open("x+b") as file:
        taken = _Taken(dataset, spool, file)
        with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
            # Pillow warns of odd files on top of what is reported here.
            warnings.filterwarnings("ignore", module=r"PIL\.")
            prepare = _Preparation(dataset, memory, spool, forgotten)
            for results in _in_order(walk(dataset.source, memory), prepare, pool, threads):
                for result in results:
                    taken.add(result)
                if total is not None:
                    taken.check_limit(total)
                if progress is not None:
                    progress(taken.found, total)
        taken.check_limit(taken.found)
        yield taken.all()
    facts.unlink()


@dataclass(slots=True)
class _Taken:
    """What was taken in so far, in the source's order."""

    dataset: DatasetConfig
    spool: Spool
    facts: BinaryIO
    found: int = 0
    read: int = 0
    digest: ContentDigest = field(default_factory=ContentDigest)
    texts: Texts = field(default_factory=Texts)
    refusals: list[Refusal] = field(default_factory=list)
    rows: Collected = field(default_factory=lambda: Collected(ITEM))
    places: Collected = field(default_factory=lambda: Collected(np.dtype([("start", "<u8"), ("size", "<u8")])))

    def add(self, result: _Result) -> None:
        """Take in one file."""
        seen, outcome, number = result.seen, result.outcome, self.texts.number
        unread = seen.item is not None and seen.item.problem is not None
        self.found += 1
        self.read += seen.item is not None
        reason = outcome.problem.reason if outcome.problem and unread else None
        self.digest.add_known(seen.name, result.sha256.hex(), reason, result.label)
        if result.image is not None:
            self.spool.add(result.sha256, outcome, result.image)
        facts = b""
        if outcome.problem is not None:
            self.refusals.append(Refusal(seen.name, outcome.problem))
        else:
            facts = _facts(seen.name, outcome, result.label)
        self.places.add(self.facts.tell(), len(facts))
        self.facts.write(facts)
        why = (outcome.problem.reason, outcome.problem.found) if outcome.problem else ("", "")
        numbers = map(number, (result.label, outcome.original_format, *why))
        self.rows.add(
            seen.id, result.sha256, outcome.key.encode(), *numbers, *outcome.original_size, unread, _UNDECIDED
        )

    def check_limit(self, total: int) -> None:
        """Refuse a source of `total` files more of which cannot be used than the dataset allows."""
        limit = self.dataset.rejected_limit_fraction
        if len(self.refusals) <= limit * total:
            return
        unusable = [one for one in self.refusals if one.problem.reason != "forgotten"]
        if len(unusable) <= limit * total:
            return
        counts = Counter(one.problem.reason for one in unusable)
        few = unusable[:_FIRST_FEW]
        first = "; ".join(f"{one.name} ({one.problem.reason}: {one.problem.found})" for one in few)
        raise ValueError(
            f"{len(unusable)} of the {self.found} files read so far (of {total}) cannot be used, more than the "
            f"{limit:.0%} that dataset.rejected_limit_fraction allows: "
            f"{', '.join(f'{count} {reason}' for reason, count in sorted(counts.items()))}. The first: {first}"
        )

    def all(self) -> Ingested:
        """Return all that was taken in."""
        places = self.places.all()
        self.facts.flush()
        return Ingested(
            self.rows.all(),
            self.texts.all(),
            self.refusals,
            self.read,
            self.digest.hexdigest(),
            np.stack([places["start"], places["size"]], axis=1),
            self.facts,
        )


@dataclass(frozen=True, slots=True)
class _Preparation:
    """Finds out in a thread what files came to, with as little work as what is known allows."""

    dataset: DatasetConfig
    memory: Memory
    spool: Spool
    forgotten: Forgotten

    def __call__(self, chunk: Sequence[Seen]) -> list[_Result]:
        """Return what became of each file, in order."""
        return [self._unless_forgotten(self._result(seen)) for seen in chunk]

    def _unless_forgotten(self, result: _Result) -> _Result:
        problem = self.forgotten.problem(result.outcome.key)
        return result if problem is None else replace(result, outcome=Outcome(problem=problem), image=None)

    def _result(self, seen: Seen) -> _Result:
        item = seen.item
        if item is None:
            row = self.memory.rows[seen.known]
            return _Result(seen, sha256_of_known(row), self.memory.label(row), self.memory.outcome(row))
        sha256 = hashlib.sha256(item.content).digest()
        if item.problem is not None:
            return _Result(seen, sha256, item.label, Outcome(problem=item.problem))
        known = self.memory.of_content(sha256) or self.spool.find(sha256)
        if known is not None:
            return _Result(seen, sha256, item.label, known)
        dataset = self.dataset
        picture = examine(item.content, dataset.size, dataset.fit, dataset.max_image_pixels)
        if isinstance(picture, Problem):
            return _Result(seen, sha256, item.label, Outcome(problem=picture), b"")
        outcome = Outcome(key_of(picture.image), picture.original_format, picture.original_size)
        return _Result(seen, sha256, item.label, outcome, dataset.encoding.encode(picture.image))


def _facts(name: str, outcome: Outcome, label: str | None) -> bytes:
    facts = {"name": name, "format": outcome.original_format, "size": outcome.original_size}
    if label is not None:
        facts["class"] = label
    return json.dumps(facts, separators=(",", ":")).encode()


def _in_order(
    seen: Iterable[Seen], prepare: _Preparation, pool: ThreadPoolExecutor, workers: int
) -> Iterator[list[_Result]]:
    """Yield results chunk by chunk in the source's order, with a bounded number of chunks under way."""
    pending: deque[Future[list[_Result]]] = deque()
    try:
        for chunk in _chunks(seen):
            pending.append(pool.submit(prepare, chunk))
            if len(pending) > workers + 1:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def _chunks(seen: Iterable[Seen]) -> Iterator[list[Seen]]:
    chunk: list[Seen] = []
    size = 0
    for one in seen:
        chunk.append(one)
        size += len(one.item.content) if one.item else 0
        if len(chunk) == _CHUNK_ITEMS or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
