"""Read a source once: check every item, spool what is accepted, and count what is not."""

import json
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from components.data.dataset import DatasetConfig
from components.data.decoders import Decoders, Made
from components.data.preparation import KEY_DIGITS, Preparation
from components.data.sources import ContentDigest, Problem, RawItem, Source
from components.workspace import threads_per_process

Progress = Callable[[int, int | None], None]

SPOOLED = np.dtype([("key", f"S{KEY_DIGITS}"), ("start", "<u8"), ("image", "<u4"), ("facts", "<u4")])
Rows = Shaped[np.ndarray, " rows"]
"""Of `SPOOLED`: an accepted image's key, where it starts in the spool file, and the bytes of image and facts."""
_CHUNK_ITEMS = 32
_CHUNK_BYTES = 16 * 2**20
_FIRST_FEW = 5


@dataclass(frozen=True, slots=True)
class Refusal:
    """An item that did not become an image."""

    name: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class _Accepted:
    key: bytes
    image: bytes
    facts: bytes


@dataclass(frozen=True, slots=True)
class Ingested:
    """What reading a source gave. `rows` point into the spool file: image bytes, then facts as JSON."""

    rows: Rows
    refusals: list[Refusal]
    found: int
    content_digest: str


def ingest(
    dataset: DatasetConfig, spool: Path, progress: Progress | None = None, workers: int | None = None
) -> Ingested:
    """Check all items of `dataset.source` and append the accepted ones to the file `spool`, in the source's order.

    Memory holds a few chunks of items and 48 bytes per image, whatever the source's size.

    Args:
        dataset: Source, size, encoding and limits.
        spool: File to create.
        progress: Called with items done and items in all (None: not known).
        workers: Processes that decode, threads where the source's pictures are made here; None: one per core. The
            result does not depend on it.

    Raises:
        ValueError: More items are refused than `rejected_limit_fraction` allows.
    """
    total = dataset.source.count()
    blocks: list[Rows] = [np.empty(0, SPOOLED)]
    refusals: list[Refusal] = []
    digest = ContentDigest()
    found = 0
    parallel = workers or threads_per_process()
    guarded = not dataset.source.is_made_here
    with (
        warnings.catch_warnings(),
        spool.open("xb") as file,
        Decoders(Preparation.of(dataset), parallel, guarded=guarded) as decoders,
    ):
        # Pillow warns of odd files on top of what is reported here.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        for results in _results_in_order(dataset.source, digest, decoders, parallel + 1):
            accepted = [result for result in results if isinstance(result, _Accepted)]
            refusals += [result for result in results if isinstance(result, Refusal)]
            found += len(results)
            if total is not None:
                _check_limit(refusals, found, total, dataset.rejected_limit_fraction)
            rows = np.empty(len(accepted), SPOOLED)
            for row, one in enumerate(accepted):
                rows[row] = (one.key, file.tell(), len(one.image), len(one.facts))
                file.write(one.image)
                file.write(one.facts)
            blocks.append(rows)
            if progress is not None:
                progress(found, total)
    _check_limit(refusals, found, found, dataset.rejected_limit_fraction)
    return Ingested(np.concatenate(blocks), refusals, found, digest.hexdigest())


def _results_in_order(
    source: Source, digest: ContentDigest, decoders: Decoders, ahead: int
) -> Iterator[list[_Accepted | Refusal]]:
    """Yield results chunk by chunk in the source's order, with a bounded number of chunks under way."""
    pending: deque[tuple[list[RawItem], Future[list[Made]]]] = deque()
    for chunk in _chunks(source.items()):
        for item in chunk:
            digest.add(item)
        made = decoders.submit([item.content for item in chunk if item.problem is None])
        pending.append(([replace(item, content=b"") for item in chunk], made))
        if len(pending) > ahead:
            yield _results(*pending.popleft())
    while pending:
        yield _results(*pending.popleft())


def _results(chunk: list[RawItem], made: Future[list[Made]]) -> list[_Accepted | Refusal]:
    made_of = iter(made.result())
    return [_result(item, item.problem or next(made_of)) for item in chunk]


def _chunks(items: Iterable[RawItem]) -> Iterator[list[RawItem]]:
    chunk: list[RawItem] = []
    size = 0
    for item in items:
        chunk.append(item)
        size += len(item.content)
        if len(chunk) == _CHUNK_ITEMS or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _result(item: RawItem, made: Made) -> _Accepted | Refusal:
    if isinstance(made, Problem):
        return Refusal(item.name, made)
    facts = {"name": item.name, "format": made.original_format, "size": made.original_size}
    if item.label is not None:
        facts["class"] = item.label
    if item.caption is not None:
        facts["caption"] = item.caption
    return _Accepted(made.key.encode(), made.image, json.dumps(facts, separators=(",", ":")).encode())


def _check_limit(refusals: list[Refusal], found: int, total: int, limit_fraction: float) -> None:
    if len(refusals) <= limit_fraction * total:
        return
    counts = Counter(refusal.problem.reason for refusal in refusals)
    first = "; ".join(f"{one.name} ({one.problem.reason}: {one.problem.found})" for one in refusals[:_FIRST_FEW])
    raise ValueError(
        f"{len(refusals)} of the {found} files read so far (of {total}) cannot be used, more than the "
        f"{limit_fraction:.0%} that dataset.rejected_limit_fraction allows: "
        f"{', '.join(f'{count} {reason}' for reason, count in sorted(counts.items()))}. The first: {first}"
    )
