"""Decoding: the bytes of an image file as Pillow's picture, whole and upright, or the reason why there is none."""

import ctypes
import io
import logging
import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError, _imaging

Reason = Literal["empty", "not_an_image", "truncated", "damaged", "too_large", "unsupported_pixels"]

DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, MemoryError, OverflowError, TypeError, LookupError, ZeroDivisionError,
    RuntimeError, AssertionError, struct.error, zlib.error,
)  # fmt: skip
"""What Pillow's decoders raise for malformed files: fuzzing has raised the first three and AssertionError, malformed
tags the others. No common base exists."""

_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_CUT_SHORT = ("truncated", "end of file", "not enough image data", "unexpected end", "read past end")
_ON_ITS_SIDE = {5, 6, 7, 8}
"""Orientations in EXIF 2.32, table of tag 0x0112, that a quarter turn brings upright."""
_BRANDS = {
    "AVIF": (b"avif", b"avis"),
    "HEIC": (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"),
}
"""Brands in a file's first box (ISO/IEC 23008-12, annexes B and E; AV1 image format); a file may list several."""
_STARTS = {
    "PNG": (b"\x89PNG",), "JPEG": (b"\xff\xd8\xff",), "GIF": (b"GIF8",), "TIFF": (b"II*\0", b"MM\0*"),
    "PSD": (b"8BPS",), "JPEG XL": (b"\xff\x0a", b"\0\0\0\x0cJXL "), "PDF": (b"%PDF",), "SVG": (b"<svg", b"<?xml"),
}  # fmt: skip


def _silence_libtiff() -> None:
    """Keep libtiff, which Pillow decodes with, from writing about damage to standard error past all that Python does.

    That nothing is said of it is libtiff's own option (TIFFSetErrorHandler(3)); Pillow raises what matters. Where the
    library's names cannot be reached, as in a Pillow that has it built in, it stays as it was.
    """
    with suppress(OSError, AttributeError):
        set_handler = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
        set_handler.restype, set_handler.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
        set_handler(None)


_silence_libtiff()
logging.getLogger("PIL").setLevel(logging.CRITICAL)  # what it logs of damage it raises as well


class UnreadableError(ValueError):
    """The bytes are no picture that is taken; the words say what was found, `reason` is one of a few to count by."""

    def __init__(self, reason: Reason, found: str) -> None:
        super().__init__(found)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture, upright, in its file's own mode; width, height (upright) and format of the file."""

    image: Image.Image
    size: tuple[int, int]
    format: str


def decode(
    content: bytes,
    formats: tuple[str, ...],
    most_pixels: int,
    least_size: tuple[int, int] | None = None,
    most_side_px: int | None = None,
) -> Decoded:
    """Return the picture in a file's bytes. The whole file is decoded, so damage anywhere is found.

    Args:
        content: The file, as it lies on disk; its name does not matter.
        formats: Pillow's names of the formats to accept.
        most_pixels: Pictures with more pixels by their header are not decoded.
        least_size: JPEG may be decoded at 1/2, 1/4 or 1/8 as long as this much remains; None decodes it whole.
        most_side_px: Pictures with a longer side by their header are not decoded; None: as long as they like.

    Raises:
        UnreadableError: There is none; the reason is in words.
    """
    if not content:
        raise UnreadableError("empty", "0 bytes")
    try:
        with Image.open(io.BytesIO(content), formats=formats) as opened:
            _demand_size(opened, most_pixels, most_side_px)
            return _loaded(opened, least_size)
    except UnreadableError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableError("not_an_image", f"{_look_of(content, formats)}; expected {', '.join(formats)}") from error
    except _BOMB as error:
        raise UnreadableError("too_large", f"more than {most_pixels} pixels") from error
    except DAMAGE as error:
        raise _damage(error) from error


def decoded(image: Image.Image) -> Decoded:
    """Return a copy of a picture in memory, upright.

    Raises:
        UnreadableError: It is none after all, as Pillow reads files late; or of a mode without an agreed white.
    """
    try:
        image.load()
        found = _loaded(image.copy(), None)
    except UnreadableError:
        raise
    except DAMAGE as error:
        raise _damage(error) from error
    found.image.format = image.format
    return found


def _damage(error: Exception) -> UnreadableError:
    words = str(error) or type(error).__name__
    short = any(hint in words.lower() for hint in _CUT_SHORT)
    return UnreadableError("truncated" if short else "damaged", " ".join(words.split()))


def _demand_size(opened: Image.Image, most_pixels: int, most_side_px: int | None) -> None:
    found = f"{opened.width} x {opened.height} pixels"
    if opened.width * opened.height > most_pixels:
        raise UnreadableError("too_large", found)
    if most_side_px is not None and max(opened.size) > most_side_px:
        raise UnreadableError("too_large", f"{found}, where no side may have more than {most_side_px},")
    if not opened.width or not opened.height:
        raise UnreadableError("damaged", f"{found} by its header")


def _loaded(opened: Image.Image, least_size: tuple[int, int] | None) -> Decoded:
    # MPO is what many phones write into files named .jpg: a JPEG with further pictures behind it.
    stored_size, stored_format = opened.size, "JPEG" if opened.format == "MPO" else str(opened.format)
    if least_size is not None:
        opened.draft(None, least_size)
    opened.load()
    if opened.mode in {"I", "F"}:
        raise UnreadableError("unsupported_pixels", f"pixels of mode {opened.mode} (32 bits) have no agreed white")
    if opened.mode in {"P", "PA"} and opened.palette is None:
        raise UnreadableError("damaged", "numbers of colours, and no palette that says which")
    turned = _turn_upright(opened)
    return Decoded(opened, stored_size[::-1] if turned else stored_size, stored_format)


def _turn_upright(image: Image.Image) -> bool:
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


def _look_of(content: bytes, formats: tuple[str, ...]) -> str:
    """Return what a file looks like that none of the formats to accept can read."""
    brands = content[8:64] if content[4:8] == b"ftyp" else b""
    look = [name for name, known in _BRANDS.items() if any(brand in brands for brand in known)]
    look += [name for name, starts in _STARTS.items() if content.startswith(starts)]
    if not look:
        return f"starts with {content[:16]!r}"
    return f"starts as {look[0]} does, but is damaged" if look[0] in formats else f"{look[0]}, which is not read here"
