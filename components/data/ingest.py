"""Read a source once: check every item, spool what is accepted, and count what is not."""

import hashlib
import json
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from PIL import Image

from components.data.check import examine
from components.data.dataset import DatasetConfig
from components.data.sources import ContentDigest, Problem, RawItem
from components.workspace import threads_per_process

Progress = Callable[[int, int | None], None]

KEY_DIGITS = 32
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


def key_of(image: Image.Image) -> str:
    """Return 32 hexadecimal digits of the sha256 of an RGB picture's size and pixels: the image's name for good.

    Taken before a lossy encoding, so that neither key nor split depends on how images are stored.
    """
    digest = hashlib.sha256(f"{image.width}x{image.height}".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()[:KEY_DIGITS]


def ingest(
    dataset: DatasetConfig, spool: Path, progress: Progress | None = None, workers: int | None = None
) -> Ingested:
    """Check all items of `dataset.source` and append the accepted ones to the file `spool`, in the source's order.

    Memory holds a few chunks of items and 48 bytes per image, whatever the source's size.

    Args:
        dataset: Source, size, encoding and limits.
        spool: File to create.
        progress: Called with items done and items in all (None: not known).
        workers: Threads that decode; Pillow releases the interpreter lock. The result does not depend on it.

    Raises:
        ValueError: More items are refused than `rejected_limit_fraction` allows.
    """
    total = dataset.source.count()
    blocks: list[Rows] = [np.empty(0, SPOOLED)]
    refusals: list[Refusal] = []
    digest = ContentDigest()
    found = 0
    threads = workers or threads_per_process()
    with warnings.catch_warnings(), spool.open("xb") as file, ThreadPoolExecutor(threads) as pool:
        # Pillow warns of odd files on top of what is reported here.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        for results in _results_in_order(dataset, digest, pool, threads):
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
    dataset: DatasetConfig, digest: ContentDigest, pool: ThreadPoolExecutor, workers: int
) -> Iterator[list[_Accepted | Refusal]]:
    """Yield results chunk by chunk in the source's order, with a bounded number of chunks under way."""
    pending: deque[Future[list[_Accepted | Refusal]]] = deque()
    try:
        for chunk in _chunks(dataset.source.items()):
            for item in chunk:
                digest.add(item)
            pending.append(pool.submit(_prepare_chunk, chunk, dataset))
            if len(pending) > workers + 1:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


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


def _prepare_chunk(chunk: list[RawItem], dataset: DatasetConfig) -> list[_Accepted | Refusal]:
    return [_prepare(item, dataset) for item in chunk]


def _prepare(item: RawItem, dataset: DatasetConfig) -> _Accepted | Refusal:
    if item.problem is not None:
        return Refusal(item.name, item.problem)
    picture = examine(item.content, dataset.size, dataset.fit, dataset.max_image_pixels)
    if isinstance(picture, Problem):
        return Refusal(item.name, picture)
    facts = {"name": item.name, "format": picture.original_format, "size": picture.original_size}
    if item.label is not None:
        facts["class"] = item.label
    return _Accepted(
        key_of(picture.image).encode(),
        dataset.encoding.encode(picture.image),
        json.dumps(facts, separators=(",", ":")).encode(),
    )


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
