"""Reading: the bytes of an image file as an RGB picture or a mask, or in words why they are none."""

import io
import struct
import zlib
from contextlib import suppress

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

MOST_PIXELS = 50_000_000
"""Larger pictures are not decoded: as many as data sets may have by default, 150 MB as RGB."""
WEB_FORMATS = ("PNG", "JPEG", "WEBP")
"""What is taken over the network."""

DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, MemoryError, OverflowError, TypeError, LookupError, ZeroDivisionError,
    struct.error, zlib.error,
)  # fmt: skip
"""What Pillow's decoders raise for malformed files: fuzzing has raised the first three, malformed TIFF tags the others.
No common base exists."""
_ON_ITS_SIDE = {5, 6, 7, 8}
"""Orientations in EXIF 2.32, table of tag 0x0112, that a quarter turn brings upright."""


class TooManyPixelsError(ValueError):
    """A picture has more pixels than are decoded."""


def read_picture(
    content: bytes, name: str, formats: tuple[str, ...] | None = None
) -> UInt8[np.ndarray, "height width 3"]:
    """Return the picture in a file's bytes, upright, in RGB.

    Args:
        content: The file, as it lies on disk.
        name: What messages call it.
        formats: Pillow's names of the formats to accept; None for all it knows.

    Raises:
        TooManyPixelsError: It has more than `MOST_PIXELS`, by its header.
        ValueError: It is not a whole picture in one of the formats.
    """
    return np.asarray(_open(content, name, formats).convert("RGB"))


def read_mask(content: bytes, name: str, formats: tuple[str, ...] | None = None) -> Bool[np.ndarray, "height width"]:
    """Return the mask in a file's bytes: True where the picture is white.

    The arguments and errors are those of `read_picture`.
    """
    return np.asarray(_open(content, name, formats).convert("L")) > 127


def upright(image: Image.Image) -> bool:
    """Turn a loaded picture as its EXIF asks, in place; return whether width and height have changed places.

    EXIF that cannot be read asks for nothing, as in every viewer.
    """
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except DAMAGE:
        return False
    with suppress(*DAMAGE):  # it turns the picture first and then tidies its EXIF, which may be what cannot be read
        ImageOps.exif_transpose(image, in_place=True)
    return orientation in _ON_ITS_SIDE


def _open(content: bytes, name: str, formats: tuple[str, ...] | None) -> Image.Image:
    try:
        with Image.open(io.BytesIO(content), formats=formats) as image:
            _demand_few_pixels(image, name)
            image.load()
            upright(image)
            return image
    except UnidentifiedImageError as error:
        kinds = f"; expected {', '.join(formats)}" if formats else ""
        raise ValueError(f"{name}: not a picture in a known format{kinds}") from error
    except Image.DecompressionBombError as error:
        raise TooManyPixelsError(_too_many(name, "many times more")) from error
    except TooManyPixelsError:
        raise
    except DAMAGE as error:
        raise ValueError(f"{name}: cannot be read as a whole picture ({error})") from error


def _demand_few_pixels(image: Image.Image, name: str) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise TooManyPixelsError(_too_many(name, f"{image.width} x {image.height}"))


def _too_many(name: str, found: str) -> str:
    return f"{name}: {found} pixels, expected at most {MOST_PIXELS / 1e6:g} million"
