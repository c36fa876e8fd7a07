"""Preparation: what a dataset makes of the bytes of one file, wherever that is done."""

import hashlib
from dataclasses import dataclass
from typing import Literal, Self

from PIL import Image

from components.data.check import examine
from components.data.dataset import DatasetConfig
from components.data.encoding import EncodingConfig
from components.data.sources import Problem
from components.section import Section

KEY_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Prepared:
    """An accepted picture as shards hold it, and what its file was: format, and width and height (upright)."""

    key: str
    image: bytes
    original_format: str
    original_size: tuple[int, int]


class Preparation(Section):
    """The options of a dataset that decide what becomes of a file's bytes; they say what `DatasetConfig` says."""

    size: int
    fit: Literal["crop", "pad"]
    encoding: EncodingConfig
    max_image_pixels: int

    @classmethod
    def of(cls, dataset: DatasetConfig) -> Self:
        """Return that of a dataset."""
        return cls(
            size=dataset.size, fit=dataset.fit, encoding=dataset.encoding, max_image_pixels=dataset.max_image_pixels
        )

    def prepare(self, content: bytes) -> Prepared | Problem:
        """Return what is made of a file's bytes, or why nothing is; a function of the two alone."""
        picture = examine(content, self.size, self.fit, self.max_image_pixels)
        if isinstance(picture, Problem):
            return picture
        encoded = self.encoding.encode(picture.image)
        return Prepared(key_of(picture.image), encoded, picture.original_format, picture.original_size)


def key_of(image: Image.Image) -> str:
    """Return 32 hexadecimal digits of the sha256 of an RGB picture's size and pixels: the image's name for good.

    Taken before a lossy encoding, so that neither key nor split depends on how images are stored.
    """
    digest = hashlib.sha256(f"{image.width}x{image.height}".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()[:KEY_DIGITS]
