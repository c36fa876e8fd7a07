"""Statistics: how the pixels of a data version's training images go together, over all colours and symmetries."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy  # its parts are imported when they are first used
from jaxtyping import Float, Float32

from components.artifacts import Artifact, Store
from components.data.reader import ShardReader
from components.data.shardset import ShardSet

MOST_EXACT_PX = 32
"""Side of the largest images of which the whole covariance is kept, a number for each pair of pixels."""

_CODE = 1
"""Version of what is kept; raise it when equal images would get other statistics."""
_FILE = "statistics.safetensors"
_AT_ONCE = 2048
_GRAIN = 2e-5
"""Variance, in units of [-1, 1], that each pixel is taken to have by itself; rounding to 8 bits makes 5e-6."""

Statistics = Mapping[str, Float32[np.ndarray, "..."]]
"""The arrays of `PixelStatistics`, by name."""
_Values = Float32[np.ndarray, "rows size size"]


class PixelStatistics(Artifact):
    """`statistics.safetensors`: `mean`, `spectrum` and, up to 32 px, `precision`, of images in [-1, 1]."""

    images: int
    """Training images that were looked at: all."""
    size: int
    """Side of the images, in pixels."""

    @classmethod
    def belongs_to(cls, manifest: Mapping[str, Any]) -> frozenset[str]:
        """Return the digest of the images that were looked at."""
        return frozenset({manifest["inputs"]["shards"]})

    def arrays(self) -> Statistics:
        """Return the numbers by name.

        `mean` is of all pixels. `spectrum` (size, size) is the variance of each frequency of the orthonormal discrete
        cosine transform. `precision` (size², size²) is the inverse of the covariance of pixels, row by row; it is not
        there of larger images. The latter two count each pixel's own grain.
        """
        from safetensors.numpy import load_file

        return load_file(self.path / _FILE)


def pixel_statistics(shards: ShardSet, store: Store) -> PixelStatistics:
    """Return the statistics of all training images of `shards`, made only if the store lacks them.

    Raises:
        ValueError: There are too few images.
        ArtifactError: A shard is missing or damaged.
    """
    demand_images(shards.splits["train"].samples, shards.size)
    return store.materialise(PixelStatistics, _inputs(shards), lambda draft: _write(shards, draft))


def statistics_digest(shards: ShardSet) -> str:
    """Return the digest of the statistics of `shards`, made or not."""
    return Store.digest(PixelStatistics, _inputs(shards))


def demand_images(images: int, size: int) -> None:
    """Raise ValueError where there are fewer training images than statistics of images of `size` px need."""
    needed = min(size, MOST_EXACT_PX) ** 2
    if images < needed:
        raise ValueError(
            f"found {images:,} training images of {size} px, expected at least {needed:,}, one for each pixel, to know "
            "how pixels go together: take another fill, or add images"
        )


def _inputs(shards: ShardSet) -> dict[str, Any]:
    return {"code": _CODE, "shards": shards.digest}


def _write(shards: ShardSet, draft: Path) -> Mapping[str, Any]:
    from safetensors.numpy import save_file

    reader = ShardReader(shards, "train")
    save_file(measured(_blocks(reader), shards.size), draft / _FILE)
    return {"images": len(reader), "size": shards.size}


def _blocks(reader: ShardReader) -> Iterator[_Values]:
    """Yield the images some at a time, each colour an image of its own, in [-1, 1]."""
    for start in range(0, len(reader), _AT_ONCE):
        block = reader.images(range(start, min(start + _AT_ONCE, len(reader))))
        yield block.transpose(0, 3, 1, 2).reshape(-1, reader.size, reader.size).astype(np.float32) / 127.5 - 1


def measured(blocks: Iterator[_Values], size: int) -> dict[str, Float32[np.ndarray, "..."]]:
    """Return `mean`, `spectrum` and, up to 32 px, `precision` of grey images in [-1, 1] that come some at a time.

    Each image counts in its eight symmetries: mirrored, turned, both.
    """
    rows, total, squares = 0, np.zeros(size**2), np.zeros((size, size))
    products = np.zeros((size**2, size**2)) if size <= MOST_EXACT_PX else None
    for block in blocks:
        rows += len(block)
        total += block.reshape(len(block), -1).sum(axis=0, dtype=np.float64)
        squares += np.square(scipy.fft.dctn(block, axes=(1, 2), norm="ortho")).sum(axis=0, dtype=np.float64)
        if products is not None:
            flat = block.reshape(len(block), -1)
            products += flat.T @ flat
    means = total / rows
    mean = float(means.mean())
    squares /= rows
    squares[0, 0] -= (size * mean) ** 2  # all of the mean is in the lowest frequency
    found = {"mean": np.array(mean), "spectrum": (squares + squares.T) / 2 + _GRAIN}
    if products is not None:
        around = products / rows - mean * (means[:, None] + means - mean)  # the one mean, not each pixel's own
        covariance = _pooled(around.reshape((size,) * 4)).reshape(products.shape)
        found["precision"] = np.linalg.inv(covariance + _GRAIN * np.eye(size**2))
    return {name: np.array(value, np.float32, order="C") for name, value in found.items()}


def _pooled(covariance: Float[np.ndarray, "row column row column"]) -> Float[np.ndarray, "row column row column"]:
    """Return the mean over the eight symmetries of the square, of each pixel with each pixel."""
    mirrored = covariance + covariance[:, ::-1, :, ::-1]
    flipped = mirrored + mirrored[::-1, :, ::-1, :]
    pooled: Float[np.ndarray, "row column row column"] = (flipped + flipped.transpose(1, 0, 3, 2)) / 8
    return pooled
