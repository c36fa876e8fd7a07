"""Reading: the bytes of an image file from outside as a photo or a mask, or in words why they are none."""

import hashlib
import io
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool
from PIL import Image

from components.pictures.colours import RGB
from components.pictures.decoding import DAMAGE, Decoded, UnreadableError, decode, decoded
from components.pictures.masks import Meaning, hole_of
from components.pictures.photo import Photo

MOST_PIXELS = 50_000_000
"""Larger pictures are not decoded: as many as data sets may have by default, 150 MB as RGB."""
WEB_FORMATS = ("PNG", "JPEG", "WEBP")
"""What is taken over the network."""
FORMATS = (*WEB_FORMATS, "BMP", "DIB", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM", "TGA", "PCX", "SGI", "QOI")
"""What is taken from files: formats of pixels. Those that run other programs, or hold drawings, are not among them."""

_PNG_DEPTH_AT, _BITS_PER_SAMPLE = 24, 258
_SAYING = {
    "empty": "an empty file, {}",
    "not_an_image": "not a picture in a known format: {}",
    "truncated": "cannot be read as a whole picture, it ends too early ({})",
    "damaged": "cannot be read as a whole picture ({})",
    "unsupported_pixels": "{}; expected levels of 8 or 16 bits",
}


class TooManyPixelsError(ValueError):
    """A picture has more pixels than are decoded."""


def read_photo(content: bytes, name: str, formats: tuple[str, ...] = FORMATS) -> Photo:
    """Return the picture in a file's bytes, upright.

    Args:
        content: The file, as it lies on disk.
        name: What messages call it.
        formats: Pillow's names of the formats to accept.

    Raises:
        TooManyPixelsError: It has more than `MOST_PIXELS`, by its header.
        ValueError: It is not a whole picture in one of the formats, of levels that have an agreed white.
    """
    found = _decoded(content, name, formats)
    bits, frames = _bits(content, found.image), _frames(content, formats)
    notes = [f"{bits} bits per channel are read as 8"] if bits > 8 else []
    notes += [f"of {frames} pictures in the file the first is taken"] if frames > 1 else []
    return Photo(found, hashlib.sha256(content).hexdigest(), tuple(notes))


def photo_of(image: Image.Image, name: str) -> Photo:
    """Return a picture that is in memory as `read_photo` returns that of a file, and leave it as it is.

    Args:
        image: The picture.
        name: What messages call it.

    Raises:
        ValueError: Its file is damaged, which Pillow finds late, or its mode has no agreed white.
    """
    return Photo(_in_words(lambda: decoded(image), name), None)


def read_picture(content: bytes, name: str, formats: tuple[str, ...] = FORMATS) -> RGB:
    """Return what networks see of the picture in a file's bytes; arguments and errors are those of `read_photo`."""
    return read_photo(content, name, formats).pixels


def read_mask(
    content: bytes, name: str, formats: tuple[str, ...] = FORMATS, *, meaning: Meaning | None = None, grow_px: float = 0
) -> Bool[np.ndarray, "height width"]:
    """Return where the mask in a file's bytes says that pixels are missing, which may be nowhere and everywhere.

    Args:
        content: The file, as it lies on disk.
        name: What messages call it.
        formats: Pillow's names of the formats to accept.
        meaning: What says that a pixel is missing; None finds out.
        grow_px: By how much the missing parts grow on all sides.

    Raises:
        TooManyPixelsError: It has more than `MOST_PIXELS`, by its header.
        ValueError: It is no picture, or a mask that can be read in two ways.
    """
    return _hole_of(_decoded(content, name, formats), name, meaning, grow_px)


def hole_in(
    image: Image.Image, name: str, *, meaning: Meaning | None = None, grow_px: float = 0
) -> Bool[np.ndarray, "height width"]:
    """Return where a mask that is in memory says that pixels are missing; all else is as in `read_mask`."""
    return _hole_of(_in_words(lambda: decoded(image), name), name, meaning, grow_px)


def _hole_of(mask: Decoded, name: str, meaning: Meaning | None, grow_px: float) -> Bool[np.ndarray, "height width"]:
    try:
        return hole_of(mask.image, meaning, grow_px)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _decoded(content: bytes, name: str, formats: tuple[str, ...]) -> Decoded:
    return _in_words(lambda: decode(content, formats, MOST_PIXELS), name)


def _in_words(decoding: Callable[[], Decoded], name: str) -> Decoded:
    try:
        return decoding()
    except UnreadableError as error:
        if error.reason == "too_large":
            found = "many times more pixels" if error.__cause__ else str(error)
            raise TooManyPixelsError(f"{name}: {found}, expected at most {MOST_PIXELS / 1e6:g} million") from error
        raise ValueError(f"{name}: {_SAYING[error.reason].format(error)}") from error


def _frames(content: bytes, formats: tuple[str, ...]) -> int:
    """Return how many pictures a file holds that was decoded before: pages, frames, or a phone's further ones."""
    try:
        with Image.open(io.BytesIO(content), formats=formats) as image:
            return int(getattr(image, "n_frames", 1))
    except DAMAGE:
        return 1


def _bits(content: bytes, image: Image.Image) -> int:
    """Return how many bits a file has for each level."""
    if image.format == "PNG":
        return content[_PNG_DEPTH_AT]
    return int(max(getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))))
