"""From the bytes of a file to a square RGB picture, or to the reason why not."""

from dataclasses import dataclass
from typing import Literal

from PIL import Image

from components.data.sources import Problem
from components.pictures.colours import to_rgb
from components.pictures.decoding import UnreadableError, decode

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")

MOST_SIDE_PX = 2**16 - 1
"""As in JPEG. A strip of a million pixels takes seconds to scale, and shows nothing as a square."""
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
    # JPEG may be decoded at 1/2, 1/4 or 1/8 as long as this many times the wanted size remains for the real filter.
    least = (_DRAFT_GAP * size, _DRAFT_GAP * size)
    try:
        decoded = decode(content, FORMATS, max_image_pixels, least, MOST_SIDE_PX)
        image = to_rgb(decoded.image)
    except UnreadableError as error:
        return Problem(error.reason, f"{error} by its header" if error.reason == "too_large" else str(error))
    fitted = _crop(image, size) if fit == "crop" else _pad(image, size)
    return Picture(fitted, decoded.size, decoded.format)


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
