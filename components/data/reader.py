"""Read any image of a ShardSet at once, by its place in the index."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import simplejpeg
from jaxtyping import Int64, Shaped, UInt8

from components.artifacts import ArtifactError
from components.data.keys import Keys
from components.data.opened import tars_of
from components.data.rows_on_disk import AT_ONCE, mapped
from components.data.shardset import ShardSet
from components.data.tars import members
from components.workspace import threads_per_process

_IMAGES_PER_JOB = 64
_JPEG = b"\xff\xd8"
_RGB = cv2.IMREAD_COLOR_RGB

Picture = UInt8[np.ndarray, "height width 3"]
"""RGB."""
Pictures = UInt8[np.ndarray, "images height width 3"]
"""RGB."""
_Rows = Shaped[np.ndarray, " images"]
"""Of the index: key, shard, offset and bytes of each image."""


def decode(content: bytes, name: str) -> Picture:
    """Return the pixels of an encoded image that this pipeline wrote.

    Raises:
        ArtifactError: The bytes are no image; `name` is named.
    """
    try:
        is_jpeg = content.startswith(_JPEG)
        image = simplejpeg.decode_jpeg(content) if is_jpeg else cv2.imdecode(np.frombuffer(content, np.uint8), _RGB)
    except ValueError:
        image = None
    if image is None:
        raise ArtifactError(f"{name}: {len(content)} bytes that are not an image; the shard is damaged")
    return np.asarray(image, np.uint8)


def decode_of(content: bytes, name: str, size: int) -> Picture:
    """Return the pixels of an image of a ShardSet whose images have sides of `size` pixels.

    Raises:
        ArtifactError: It is no image, or one of another size; `name` is named.
    """
    image = decode(content, name)
    if image.shape != (size, size, 3):
        raise ArtifactError(f"{name}: {image.shape[1]} x {image.shape[0]} pixels, the manifest says {size}")
    return image


class ShardReader:
    """Random access to one split. It maps the index (52 bytes per image), which the ranks of a machine share."""

    def __init__(self, shards: ShardSet, split: str) -> None:
        """Read the index and compare the shards' sizes with the manifest.

        Raises:
            ValueError: There is no such split.
            ArtifactError: A shard is missing or of another size than the manifest says.
        """
        if split not in shards.splits:
            raise ValueError(f"split {split!r}: expected one of {', '.join(shards.splits)}")
        self.size = shards.size
        self._labels = shards.path / f"{split}.labels.npy" if shards.splits[split].classes else None
        self.tars = tars_of(shards, split)
        self._index: _Rows = mapped(shards.path / f"{split}.index.npy")
        if len(self._index) != shards.splits[split].samples:
            raise ArtifactError(
                f"{shards.path / split}.index.npy: {len(self._index)} images, "
                f"the manifest says {shards.splits[split].samples}"
            )

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._index)

    @property
    def keys(self) -> Keys:
        """The images' keys, in the order of their numbers."""
        return Keys(self._index["key"])

    @property
    def packed_keys(self) -> Shaped[np.ndarray, " images"]:
        """The same as bytes, 32 of each image."""
        return np.asarray(self._index["key"])

    @property
    def stored(self) -> Iterator[Shaped[np.ndarray, " some"]]:
        """The images' keys, and how many bytes each takes, some at a time."""
        for start in range(0, len(self), AT_ONCE):
            yield np.array(self._index[["key", "bytes"]][start : start + AT_ONCE])

    @property
    def places(self) -> Int64[np.ndarray, " images"]:
        """The numbers of the tars that the images lie in, in the order of the images."""
        return np.asarray(self._index["shard"], np.int64)

    @cached_property
    def labels(self) -> Int64[np.ndarray, " images"] | None:
        """The numbers of the images' classes, in the order of the images; None where there are no classes."""
        return None if self._labels is None else np.load(self._labels, allow_pickle=False).astype(np.int64)

    def said(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield each image's number and what the shards say of its file: name, format, size, class; in their order."""
        for shard in np.unique(self._index["shard"]).tolist():
            numbers = np.flatnonzero(self._index["shard"] == shard).tolist()
            known = dict(zip(self._index["key"][numbers].tolist(), numbers, strict=True))
            with self.tars.opened(shard) as tar, tar.file() as file:
                for member in members(file):
                    key, _, suffix = member.name.partition(".")
                    if suffix == "json" and (number := known.get(key.encode())) is not None:  # else it is gone
                        file.seek(member.offset)
                        yield number, json.loads(file.read(member.bytes))

    def image(self, number: int) -> Picture:
        """Return image `number`."""
        pixels: Picture = self.images([number])[0]
        return pixels

    def images(self, indices: Sequence[int] | Int64[np.ndarray, " images"]) -> Pictures:
        """Return images by number, decoded in threads when there are many."""
        rows = self._index[np.asarray(indices, np.int64)]
        pixels = np.empty((len(rows), self.size, self.size, 3), np.uint8)
        jobs = range(0, len(rows), _IMAGES_PER_JOB)
        threads = min(len(jobs), threads_per_process())
        if threads <= 1:
            self._fill(pixels, rows)
            return pixels
        with ThreadPoolExecutor(threads) as pool:
            slices = [slice(start, start + _IMAGES_PER_JOB) for start in jobs]
            list(pool.map(lambda part: self._fill(pixels[part], rows[part]), slices))
        return pixels

    def contents(self, indices: Sequence[int] | Int64[np.ndarray, " images"]) -> tuple[list[bytes], list[str]]:
        """Return the encoded images by number, and what each is called should it be damaged."""
        rows = self._index[np.asarray(indices, np.int64)]
        contents, names = [b""] * len(rows), [""] * len(rows)
        for place, content, name in self._read(rows):
            contents[place], names[place] = content, name
        return contents, names

    def _fill(self, pixels: Pictures, rows: _Rows) -> None:
        for place, content, name in self._read(rows):
            pixels[place] = decode_of(content, name, self.size)

    def _read(self, rows: _Rows) -> Iterator[tuple[int, bytes, str]]:
        """Yield place, content and name of each of some images, tar by tar."""
        for shard in np.unique(rows["shard"]):
            places = np.flatnonzero(rows["shard"] == shard)
            # Taken out of NumPy at once: value by value costs as much as decoding a small image.
            columns = (rows[places][name].tolist() for name in ("key", "offset", "bytes"))
            with self.tars.opened(int(shard)) as tar:
                for place, key, offset, size in zip(places.tolist(), *columns, strict=True):
                    yield place, tar.read(offset, size), f"{tar.name}, image {key.decode()}"
