"""From the bytes of a file to a square RGB picture, or to the reason why not."""

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from components.data.sources import Problem
from components.pictures.reading import DAMAGE, upright

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")

_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_CUT_SHORT = ("truncated", "end of file", "not enough image data", "unexpected end", "read past end")
_BITS_PER_SAMPLE = 258
# JPEG may be decoded at 1/2, 1/4 or 1/8 as long as this many times the wanted size remains for the real filter.
_DRAFT_GAP = 3


@dataclass(frozen=True, slots=True)
class Picture:
    """A square RGB picture and what it was made from: width, height (upright) and format of the file."""

    image: Image.Image
    original_size: tuple[int, int]
    original_format: str


def examine(content: bytes, size: int, fit: Literal["crop", "pad"], max_image_pixels: int) -> Picture | Problem:
    """Return the picture in a file's bytes as `size` x `size` RGB, or why there is none.

    The whole file is decoded, so damage anywhere is found; EXIF orientation is applied; what is transparent becomes
    white; 16-bit grey is scaled; of an animation the first frame is taken; colour profiles are not applied.

    Args:
        content: The file, as it lies on disk; its name does not matter.
        size: Side of the result, in pixels.
        fit: "crop" cuts to the central square, "pad" adds white.
        max_image_pixels: Pictures with more pixels by their header are not decoded.
    """
    if not content:
        return Problem("empty", "0 bytes")
    try:
        opened = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        return Problem("not_an_image", f"starts with {content[:16]!r}; expected {', '.join(FORMATS)}")
    except _BOMB:
        return Problem("too_large", f"more than {max_image_pixels} pixels by its header")
    except DAMAGE as error:
        return _damage(error)
    with opened:
        if opened.width * opened.height > max_image_pixels:
            return Problem("too_large", f"{opened.width} x {opened.height} pixels by its header")
        if not opened.width or not opened.height:
            return Problem("damaged", f"{opened.width} x {opened.height} pixels by its header")
        try:
            return _decode(opened, size, fit)
        except _BOMB:
            return Problem("too_large", f"more than {max_image_pixels} pixels")
        except DAMAGE as error:
            return _damage(error)


def _damage(error: BaseException) -> Problem:
    words = str(error) or type(error).__name__
    return Problem("truncated" if any(hint in words.lower() for hint in _CUT_SHORT) else "damaged", words)


def _decode(opened: Image.Image, size: int, fit: Literal["crop", "pad"]) -> Picture | Problem:
    # MPO is what many phones write into files named .jpg: a JPEG with further pictures behind it.
    original_format = "JPEG" if opened.format == "MPO" else str(opened.format)
    stored_size = opened.size
    opened.draft(None, (_DRAFT_GAP * size, _DRAFT_GAP * size))
    opened.load()
    if opened.mode in {"I", "F"}:
        return Problem("unsupported_pixels", f"pixels of mode {opened.mode} (32 bits) have no agreed white")
    if upright(opened):
        stored_size = stored_size[::-1]
    image = _to_rgb(opened)
    fitted = _crop(image, size) if fit == "crop" else _pad(image, size)
    return Picture(fitted, stored_size, original_format)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return _scale_16_bits(image).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    ground = Image.new("RGBA", image.size, "white")
    ground.alpha_composite(image.convert("RGBA"))
    return ground.convert("RGB")


def _scale_16_bits(image: Image.Image) -> Image.Image:
    """Return 8-bit grey; Pillow's own conversion would clip all above 255 to white."""
    tags = getattr(image, "tag_v2", {})
    bits = int(tags.get(_BITS_PER_SAMPLE, (16,))[0])
    white = 2**bits - 1
    values = np.asarray(image).astype(np.uint32)
    return Image.fromarray(((values * 255 + white // 2) // white).clip(0, 255).astype(np.uint8))


def _crop(image: Image.Image, size: int) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.resize((size, size), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side))


def _pad(image: Image.Image, size: int) -> Image.Image:
    scale = size / max(image.size)
    width, height = (max(1, round(length * scale)) for length in image.size)
    canvas = Image.new("RGB", (size, size), "white")
    scaled = image.resize((width, height), Image.Resampling.LANCZOS)
    canvas.paste(scaled, ((size - width) // 2, (size - height) // 2))
    return canvas
