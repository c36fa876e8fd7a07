"""Formats: in which files pictures are written, by suffix, and what each of them can hold."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from PIL import Image, features
from PIL.PngImagePlugin import PngInfo

from components.pictures.metadata import XMP_KEYWORD, Metadata

_MARKER_BYTES = 65_000
"""A JPEG marker holds 65,533 bytes, its own heading among them."""
_TIFF_XMP = 700


@dataclass(frozen=True)
class Format:
    """A file format that pictures are written in."""

    name: str
    """Pillow's."""
    suffixes: tuple[str, ...]
    modes: tuple[str, ...]
    """Modes that it gives back as they were written."""
    keeps: frozenset[str]
    """What it holds beside pixels, by the names of `Metadata`."""
    metadata: Callable[[Metadata], Mapping[str, Any]]
    """Options of Pillow's writer that say it."""
    pixels: Mapping[str, Any]
    """Options of Pillow's writer that keep pixels as well as can be."""
    lossless: bool = True
    most_bytes: int = 1 << 32
    """The longest EXIF and XMP."""


def _given(metadata: Metadata) -> dict[str, Any]:
    stated = {"icc_profile": metadata.icc, "dpi": metadata.dpi, "exif": metadata.exif, "xmp": metadata.xmp}
    return {option: value for option, value in stated.items() if value}


def _png(metadata: Metadata) -> dict[str, Any]:
    text = PngInfo()
    if metadata.xmp:
        text.add_itxt(XMP_KEYWORD, metadata.xmp.decode("utf-8", "replace"))
    for keyword, value in metadata.text.items():
        text.add_itxt(keyword, value)
    return {**_given(metadata), "pnginfo": text}


def _tiff(metadata: Metadata) -> dict[str, Any]:
    tags = Image.Exif()
    if metadata.exif:
        tags.load(metadata.exif)
    if metadata.xmp:
        tags[_TIFF_XMP] = metadata.xmp
    return {**_given(metadata), "exif": tags}


_ALL = frozenset({"icc", "dpi", "exif", "xmp"})
_COLOUR, _GREY = ("RGB", "RGBA"), ("L", "LA")
_KNOWN = (
    Format("PNG", (".png",), (*_GREY, *_COLOUR), _ALL, _png, {}),
    Format(
        "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), ("L", "RGB", "CMYK"), _ALL, _given,
        {"quality": 95, "subsampling": 0}, lossless=False, most_bytes=_MARKER_BYTES,
    ),
    # Not compressed: libtiff cannot write the tables of EXIF and GPS.
    Format("TIFF", (".tif", ".tiff"), (*_GREY, *_COLOUR, "CMYK", "LAB"), _ALL, _tiff, {"compression": "raw"}),
    Format("WEBP", (".webp",), _COLOUR, _ALL - {"dpi"}, _given, {"lossless": True, "exact": True}),
    Format("BMP", (".bmp",), ("L", "RGB"), frozenset({"dpi"}), _given, {}),
    Format("JPEG2000", (".jp2",), (*_GREY, *_COLOUR), frozenset(), _given, {}),
    Format(
        "AVIF", (".avif",), _COLOUR, _ALL - {"dpi"}, _given, {"quality": 95, "subsampling": "4:4:4"}, lossless=False,
    ),
)  # fmt: skip


def format_of(path: PurePath) -> Format:
    """Return the format that a file's suffix names.

    Raises:
        ValueError: It names none, or one that is not written here.
    """
    written = [one for one in _KNOWN if one.name != "AVIF" or features.check("avif")]
    suffix = path.suffix.lower()
    found = [one for one in written if suffix in one.suffixes]
    if not found:
        known = ", ".join(suffix for one in written for suffix in one.suffixes)
        raise ValueError(
            f"{path}: cannot be written; {suffix or 'no suffix'} names no format that is written; expected {known}"
        )
    return found[0]


def named(name: str) -> Format:
    """Return the format that Pillow calls `name`."""
    return next(one for one in _KNOWN if one.name == name)


def encoded(image: Image.Image, form: Format, metadata: Metadata) -> bytes:
    """Return the file of a picture in a mode that its format holds."""
    buffer = io.BytesIO()
    image.save(buffer, form.name, **form.pixels, **form.metadata(metadata))
    return buffer.getvalue()
