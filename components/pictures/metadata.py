"""Metadata: what a picture's file says beside its pixels, as far as another file can say it again."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

from PIL import ExifTags, Image

from components.pictures.decoding import DAMAGE

XMP_KEYWORD = "XML:com.adobe.xmp"
"""The keyword under which PNG files have XMP."""

_RAW_PROFILES = "Raw profile type"
_TABLES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
_OF_PEOPLE = {269, 270, 271, 272, 282, 283, 285, 296, 305, 306, 315, 316}
_OF_THE_FILE = {*range(254, 348), *range(512, 535), 700, 33723, 34377, 34675} - _OF_PEOPLE
"""TIFF 6.0: tags that say how pixels lie in one file, orientation among them, and what is kept in other ways."""
_SPACES = {"L": b"GRAY", "LA": b"GRAY", "RGB": b"RGB ", "RGBA": b"RGB ", "CMYK": b"CMYK", "LAB": b"Lab "}
"""ICC.1, table 19: the colour space in a profile's header, by Pillow's mode."""
_WORDS = {"icc": "ICC profile", "dpi": "resolution", "exif": "EXIF", "xmp": "XMP"}


@dataclass(frozen=True)
class Metadata:
    """What is kept of a file beside its pixels; empty where there is none."""

    icc: bytes = b""
    dpi: tuple[float, float] | None = None
    exif: bytes = b""
    """Without orientation, thumbnail and what says how the pixels lay in the file."""
    xmp: bytes = b""
    text: Mapping[str, str] = field(default_factory=dict)
    """Keywords of a PNG file."""
    lost: tuple[str, ...] = ()
    """What cannot be kept, and why, in words."""

    def within(self, parts: Collection[str], most_bytes: int, place: str) -> "Metadata":
        """Return what a format keeps that holds only these parts, in so many bytes each; `place` names it."""
        left = self
        for part in _WORDS:
            value = getattr(self, part)
            if value and part not in parts:
                left = left.without(part, f"{place} holds none")
            elif isinstance(value, bytes) and len(value) > most_bytes and part != "icc":
                left = left.without(part, f"{place} holds at most {most_bytes} bytes of it")
        return left

    def for_mode(self, mode: str, before: str) -> "Metadata":
        """Return what holds for a picture in `mode` that was in the mode `before`: a profile is of one colour space."""
        if not self.icc or _SPACES.get(mode) in {_SPACES.get(before), self.icc[16:20]}:
            return self
        return self.without("icc", f"it is not one of {mode} pixels")

    def without(self, part: str, why: str) -> "Metadata":
        """Return all but one part."""
        nothing = None if part == "dpi" else b""
        return replace(self, **{part: nothing}, lost=(*self.lost, f"the {_WORDS[part]} is lost: {why}"))  # type: ignore[arg-type]


def metadata_of(image: Image.Image) -> Metadata:
    """Return what the file of an upright picture says beside its pixels, as far as it can be read."""
    xmp = image.info.get("xmp") or b""
    found = Metadata(
        icc=image.info.get("icc_profile") or b"",
        dpi=_dpi(image.info),
        xmp=xmp.encode() if isinstance(xmp, str) else bytes(xmp).rstrip(b"\0"),
        text={key: str(value) for key, value in getattr(image, "text", {}).items() if _is_plain(key)},
    )
    try:
        return replace(found, exif=_exif(image))
    except DAMAGE:
        return found.without("exif", "it cannot be read")


def _is_plain(keyword: str) -> bool:
    return keyword != XMP_KEYWORD and not keyword.startswith(_RAW_PROFILES)


def _dpi(info: Mapping[Any, Any]) -> tuple[float, float] | None:
    try:
        across, down = map(float, info["dpi"])
    except DAMAGE:
        return None
    return (across, down) if all(isfinite(one) and 0 < one < 1e5 for one in (across, down)) else None


def _exif(image: Image.Image) -> bytes:
    found, kept = image.getexif(), Image.Exif()
    if image.info.get("exif") and not len(found):
        raise ValueError("there is some, and nothing in it")
    for tag, value in found.items():
        if tag not in _OF_THE_FILE and tag not in _TABLES:
            kept[tag] = value
    tables = {table: entries for table in _TABLES if (entries := dict(found.get_ifd(table)))}
    for table, entries in tables.items():
        kept.get_ifd(table).update(entries)
    return kept.tobytes() if tables or len(kept) else b""
