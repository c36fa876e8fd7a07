"""Image features: what an extractor sees in the images of a data version, taken once and kept in the machine's cache.

Torchrun's ranks share the work, or an executor's workers do. Either way the same function of the same images is kept
under the same name, so whoever looks for it next need not know who took it.
"""

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from safetensors.torch import load_file, save_file
from torch import Tensor

from components import distributed
from components.artifacts import Artifact, ArtifactError, Store
from components.artifacts.artifact import digests_in
from components.data import PixelSource, ShardReader, ShardSet
from components.data.reader import decode_of
from components.evaluation.evidence import images_name
from components.evaluation.extractors import ExtractorSection, FidelityConfig
from components.evaluation.features import Extractor
from components.evaluation.sharing import own_rows
from components.executors import Crew, ExecutorConfig, LocalExecutor, Packed
from components.recipes.recipe import blocks_of

Features = Float[Tensor, "images features"]
Rows = Float32[np.ndarray, "images features"]
Places = Sequence[int] | Int64[np.ndarray, " images"]
Progress = Callable[[int, int | None], None]
Kind = TypeVar("Kind", bound=Artifact)

_CODE = 1
"""Version of what is kept; raise it when equal images would get other features."""
_FILE = "features.safetensors"
_ROWS_AT_ONCE = 512
_AT_ONCE = 64
"""Images of a partition, the last of which may hold fewer."""
_HERE = LocalExecutor(workers=1)
"""On this machine one partition after the other, each on all cores: a network's layers share them well."""
_NETWORKS = 2
"""Networks that a worker keeps from one partition to the next, some 30 MB each."""


class ImageFeatures(Artifact):
    """`features.safetensors`: the features of the first images of one split, in their order."""

    images: int
    """Number of rows."""

    @classmethod
    def belongs_to(cls, manifest: Mapping[str, Any]) -> frozenset[str]:
        """Return the digests of the images that were looked at."""
        return digests_in(manifest["inputs"])


def features_inputs(digest: str, count: int, kind: ExtractorSection) -> dict[str, Any]:
    """Return all that determines the features of images: their name, how many of them, and who looks how."""
    return {
        "code": _CODE,
        "images": digest,
        "count": count,
        "extractor": kind.sha256,
        "preprocessing": kind.preprocessing,
    }


def shared_features(
    images: PixelSource, count: int, digest: str, extractor: Extractor, cache: Path | None
) -> Features | None:
    """Return the features of the first images in the main process, None in the others; every process must ask.

    What `cache` holds, checked file by file, is taken from there; else processes share the work, and the main one keeps
    the result.

    Args:
        images: The images.
        count: How many of them.
        digest: What determined them: shard set and split.
        extractor: The network.
        cache: Folder that can be deleted at any time between runs; None keeps nothing.
    """
    store = Store(cache) if cache is not None else None
    inputs = features_inputs(digest, count, extractor.fidelity.extractor)
    kept = undamaged(store, ImageFeatures, inputs) if store is not None and distributed.is_main() else None
    if distributed.any_rank(kept is not None):
        return None if kept is None else load_file(kept.path / _FILE)["features"]
    few = list(blocks_of(own_rows(count, extractor.fidelity.batch), _ROWS_AT_ONCE)) or [slice(0, 0)]
    parts = [extractor.see(images.take(np.arange(some.start, some.stop), axis=0)).features for some in few]
    features = distributed.gather_rows(torch.cat(parts))
    if features is not None and store is not None:
        store.materialise(ImageFeatures, inputs, lambda draft: _write(features, draft))
    return features


def features_over(
    executor: ExecutorConfig,
    shards: ShardSet,
    split: str,
    most: int | None,
    fidelity: FidelityConfig,
    cache: Path,
    progress: Progress | None = None,
) -> ImageFeatures:
    """Return what `shared_features` will find, taken by an executor's workers unless the cache has it.

    Args:
        executor: Who looks.
        shards: The images.
        split: Which of them.
        most: No more than so many, the first by key; None takes all.
        fidelity: The network, which must be one that comes in a package.
        cache: Folder that can be deleted at any time between runs.
        progress: Called with images done and images in all.

    Raises:
        ArtifactError: A shard is missing or damaged.
    """
    reader = ShardReader(shards, split)
    numbers = np.arange(len(reader))[:most]
    store, inputs = Store(cache), features_inputs(images_name(shards, split, most), len(numbers), fidelity.extractor)
    if (kept := undamaged(store, ImageFeatures, inputs)) is not None:
        return kept

    def write(draft: Path) -> Mapping[str, Any]:
        with at_work(executor) as crew:
            return _write(torch.from_numpy(features_of(reader, numbers, fidelity, crew, progress)), draft)

    return store.materialise(ImageFeatures, inputs, write)


def at_work(executor: ExecutorConfig) -> AbstractContextManager[Crew]:
    """Give those of an executor who look at images through networks."""
    return (_HERE if isinstance(executor, LocalExecutor) else executor).open()


def features_of(
    reader: ShardReader, numbers: Places, fidelity: FidelityConfig, crew: Crew, progress: Progress | None = None
) -> Rows:
    """Return the features of images by number, taken partition by partition.

    Args:
        reader: The images.
        numbers: Which of them.
        fidelity: The network.
        crew: Who looks.
        progress: Called with images done and images in all.
    """
    rows, done = np.empty((len(numbers), fidelity.extractor.FEATURES), np.float32), 0
    for here, features in crew.each(_seen, _partitions(reader, np.asarray(numbers, np.int64), fidelity)):
        rows[here], done = features, done + len(features)
        if progress is not None:
            progress(done, len(numbers))
    return rows


def undamaged(store: Store, kind: type[Kind], inputs: Mapping[str, Any]) -> Kind | None:
    """Return what a cache holds, checked file by file; what is damaged is thrown away, for it can be measured again."""
    try:
        kept = store.find(kind, inputs)
        if kept is not None:
            kept.verify()
    except ArtifactError as error:
        logging.getLogger(__name__).warning("%s; it is measured again", error)
        shutil.rmtree(store.path_of(kind, inputs))
        return None
    return kept


def _partitions(
    reader: ShardReader, numbers: Int64[np.ndarray, " images"], fidelity: FidelityConfig
) -> Iterator[tuple[slice, tuple[object, ...]]]:
    """Yield of some images each where they stand, and what whoever looks at them is sent."""
    for here in blocks_of(slice(0, len(numbers)), _AT_ONCE):
        contents, names = reader.contents(numbers[here])
        yield here, (fidelity, reader.size, Packed.of(contents), names)


def _seen(fidelity: FidelityConfig, size: int, contents: Packed, names: Sequence[str]) -> Rows:
    pieces = zip(contents.pieces(), names, strict=True)
    images = np.stack([decode_of(content, name, size) for content, name in pieces])
    rows: Rows = _extractor(fidelity).see(images).features.numpy()
    return rows


@lru_cache(maxsize=_NETWORKS)
def _extractor(fidelity: FidelityConfig) -> Extractor:
    return Extractor(fidelity)


def _write(features: Features, draft: Path) -> Mapping[str, Any]:
    save_file({"features": features.contiguous()}, draft / _FILE)
    return {"images": len(features)}
