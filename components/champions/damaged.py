"""Damaged: a picture to mend and what of it is missing, from files, Pillow's pictures or arrays."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from components.champions import files
from components.pictures.masks import Meaning
from components.pictures.photo import Photo
from components.pictures.reading import MOST_PIXELS, hole_in, photo_of, read_mask, read_photo
from components.recipes.photos import demand_size

Levels = UInt8[np.ndarray, "height width *channels"] | Bool[np.ndarray, "height width"]
Pictured = str | Path | Image.Image | Levels
"""A picture: where its file is, or as it is in memory."""

MOST_ENLARGED = 8
"""Times the sides; models can learn no more (`factor` of the degradation `resample`)."""
_CHANNELS = ((), (1,), (2,), (3,), (4,))


@dataclass(frozen=True)
class Damaged:
    """A picture, and what of it is missing."""

    photo: Photo
    hole: Bool[np.ndarray, "height width"] | None
    """True where pixels are missing; None where nobody said."""
    name: str
    """What messages call the picture."""
    mask: str
    """What messages call the mask."""

    def enlarged(self, factor: int) -> "Damaged":
        """Return the picture, and what is missing of it, with so many times its sides.

        Raises:
            ValueError: The factor is not 1 to `MOST_ENLARGED`, or the picture would be larger than any that is read.
        """
        if not 1 <= factor <= MOST_ENLARGED:
            raise ValueError(f"enlarge {factor}: expected 1 to {MOST_ENLARGED}")
        if factor == 1:
            return self
        height, width = (factor * side for side in self.photo.pixels.shape[:2])
        if height * width > MOST_PIXELS:
            raise ValueError(
                f"{self.name}: enlarged {factor} times it would have {height * width / 1e6:.0f} million pixels, "
                f"expected at most {MOST_PIXELS / 1e6:g} million"
            )
        hole = None if self.hole is None else self.hole.repeat(factor, axis=0).repeat(factor, axis=1)
        return replace(self, photo=self.photo.enlarged(factor), hole=hole)


def damaged(image: Pictured, mask: Pictured | None, meaning: Meaning | None = None, grow_px: float = 0) -> Damaged:
    """Return a picture with what its mask marks.

    Args:
        image: The picture.
        mask: A picture of the same size; in an array of bool, True is missing.
        meaning: What marks a missing pixel; None finds out.
        grow_px: By how much the missing parts grow on all sides.

    Raises:
        ValueError: One of them cannot be read, they differ in size, or the mask can be read in two ways.
    """
    name = _name(image, "the picture")
    photo = _photo(image, name)
    if mask is None:
        return Damaged(photo, None, name, "the mask")
    called = _name(mask, "the mask")
    hole = _hole(mask, called, meaning, grow_px)
    demand_size(photo, hole, called)
    return Damaged(photo, hole, name, called)


def _name(pictured: Pictured, otherwise: str) -> str:
    return str(pictured) if isinstance(pictured, str | Path) else otherwise


def _photo(pictured: Pictured, name: str) -> Photo:
    if isinstance(pictured, str | Path):
        return read_photo(files.read(Path(pictured)), name)
    return photo_of(_image(pictured, name), name)


def _hole(
    mask: Pictured, name: str, meaning: Meaning | None, grow_px: float
) -> Bool[np.ndarray, "mask_height mask_width"]:
    if isinstance(mask, str | Path):
        return read_mask(files.read(Path(mask)), name, meaning=meaning, grow_px=grow_px)
    if isinstance(mask, np.ndarray) and mask.dtype == np.bool_:
        meaning = meaning or "white"  # True says it; no colour has to be guessed at
    return hole_in(_image(mask, name), name, meaning=meaning, grow_px=grow_px)


def _image(pictured: object, name: str) -> Image.Image:
    if isinstance(pictured, Image.Image):
        return pictured
    if not isinstance(pictured, np.ndarray):
        found = type(pictured).__name__
        raise ValueError(f"{name}: found {found}, expected a path, one of Pillow's pictures or an array")  # noqa: TRY004 - the words that all mistakes have
    if pictured.dtype not in {np.dtype(np.uint8), np.dtype(np.bool_)}:
        raise ValueError(f"{name}: an array of {pictured.dtype}, expected uint8 levels from 0 to 255, or bool")
    if pictured.ndim < 2 or pictured.shape[2:] not in _CHANNELS or not pictured.size:
        raise ValueError(
            f"{name}: an array of shape {pictured.shape}, expected (height, width) or (height, width, 1 to 4)"
        )
    levels = pictured.astype(np.uint8) * 255 if pictured.dtype == np.bool_ else pictured
    return Image.fromarray(levels[..., 0] if pictured.shape[2:] == (1,) else levels)
