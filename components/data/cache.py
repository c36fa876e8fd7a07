"""Pixels decoded once into files that all processes of a machine share, or read from the shards as they are needed."""

import weakref
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from components.artifacts.files import draft_file
from components.artifacts.held import HeldFiles
from components.data.opened import LocalTars, StreamedTars
from components.data.reader import Pictures, ShardReader
from components.data.shardset import ShardSet

_IMAGES_PER_READ = 512


@runtime_checkable
class PixelSource(Protocol):
    """Images by number. `Pictures` are one, too."""

    def __len__(self) -> int:
        """Return the number of images."""

    def take(self, indices: Int64[np.ndarray, " images"], /, axis: int) -> Pictures:
        """Return a fresh array; `axis` is always 0."""


class DecodedPixels(np.memmap):
    """All images of a split as a read-only array (N, H, W, 3) in a file that processes share."""

    def take(  # type: ignore[override]
        self, indices: Int64[np.ndarray, " images"] | list[int], axis: int | None = 0
    ) -> Pictures:
        """Return images by number as a fresh array; unlike NumPy's, the axis is 0 unless told."""
        return np.asarray(self).take(indices, axis=axis)


class StreamedPixels:
    """The same images, decoded from the shards each time they are asked for."""

    def __init__(self, reader: ShardReader) -> None:
        self._reader = reader
        self.shape = (len(reader), reader.size, reader.size, 3)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._reader)

    @property
    def tars(self) -> LocalTars | StreamedTars:
        """The tars that they are read from."""
        return self._reader.tars

    def take(self, indices: Int64[np.ndarray, " images"] | list[int], axis: int = 0) -> Pictures:
        """Return images by number as a fresh array.

        Raises:
            ValueError: `axis` is not 0.
        """
        if axis != 0:
            raise ValueError(f"axis {axis}: streamed images can only be taken along axis 0")
        return self._reader.images(np.asarray(indices, np.int64))


def decoded_pixels(shards: ShardSet, split: str, cache: Path, budget_bytes: int) -> DecodedPixels | StreamedPixels:
    """Return a split's pixels, decoded at most once per machine.

    The first caller decodes into `cache` and renames the finished file into place; others wait for it and map the
    same pages. Files not used for longest make room for it. Where those in use leave none, nothing is written and
    images are decoded from the shards when taken.

    Args:
        shards: The dataset.
        split: "train", "validation" or "test".
        cache: Folder for the decoded pixels; it can be deleted at any time between runs.
        budget_bytes: Most bytes of all that is decoded there.
    """
    reader = ShardReader(shards, split)
    shape = (len(reader), reader.size, reader.size, 3)
    size = int(np.prod(shape, dtype=np.int64))
    if size > budget_bytes or not size:
        return StreamedPixels(reader)
    files = HeldFiles(cache, ".pixels", budget_bytes)
    held = files.hold(f"{shards.digest}-{split}", size, lambda path: _decode_all(reader, path, shape))
    if held is None:
        return StreamedPixels(reader)
    pixels = DecodedPixels(held.path, np.uint8, "r", shape=shape)
    weakref.finalize(pixels, held.release)
    return pixels


def _decode_all(reader: ShardReader, path: Path, shape: tuple[int, ...]) -> None:
    with draft_file(path) as draft, draft.open("xb") as file:
        for start in range(0, shape[0], _IMAGES_PER_READ):
            file.write(reader.images(np.arange(start, min(start + _IMAGES_PER_READ, shape[0]))).data)
