"""Photo: a picture from outside, upright, in its own mode, with what its file says; and the file of its mended copy."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool
from PIL import Image, JpegImagePlugin

from components.pictures.colours import RGB, as_held, fitted, mended, to_rgb
from components.pictures.decoding import Decoded
from components.pictures.formats import Format, encoded
from components.pictures.metadata import Metadata, metadata_of
from components.pictures.provenance import Provenance, marked

_ALPHA = {"LA", "RGBA"}
_UNKNOWN_SAMPLING = -1


@dataclass(frozen=True)
class Written:
    """The file of a mended picture, and what should be said of it."""

    content: bytes
    notes: tuple[str, ...]
    greatest_change: int | None
    """By how many of 255 levels a lossy format changed a pixel that was not mended, at most; None where it is not."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What should be said of it, in words."""
        if self.greatest_change is None:
            return self.notes
        return (*self.notes, f"all other pixels changed by at most {self.greatest_change} of 255 levels in coding")


@dataclass(frozen=True)
class Photo:
    """A picture from a file."""

    decoded: Decoded
    sha256: str | None
    """Of the file; None of a picture that came without one."""
    notes: tuple[str, ...] = ()
    """What reading it has cost, in words."""

    @cached_property
    def pixels(self) -> RGB:
        """What networks see."""
        return np.asarray(to_rgb(self.decoded.image))

    @cached_property
    def metadata(self) -> Metadata:
        """What its file says beside pixels."""
        return metadata_of(self.decoded.image)

    def enlarged(self, factor: int) -> "Photo":
        """Return this picture with so many times its sides, and with what its file says.

        By OpenCV's cubic interpolation, for so are pictures enlarged that models of low resolution learn on.
        """
        held = as_held(self.decoded.image)
        size = (held.width * factor, held.height * factor)
        wide = Image.fromarray(cv2.resize(np.asarray(held), size, interpolation=cv2.INTER_CUBIC), held.mode)
        wide.info = {key: value for key, value in self.decoded.image.info.items() if key != "transparency"}
        return replace(self, decoded=replace(self.decoded, image=wide, size=wide.size))

    def mended(self, pixels: RGB, hole: Bool[np.ndarray, "height width"]) -> Image.Image:
        """Return this picture with the colours of `pixels` where `hole` is True, in its own mode where that can be."""
        return mended(as_held(self.decoded.image), pixels, hole)

    def written(
        self,
        pixels: RGB,
        hole: Bool[np.ndarray, "height width"],
        form: Format,
        provenance: Provenance | None = None,
    ) -> Written:
        """Return the file of this picture with the colours of `pixels` where `hole` is True, all else being as it was.

        Args:
            pixels: The mended picture.
            hole: True where it was mended.
            form: What file.
            provenance: What the file is to say of who mended it; None says nothing.
        """
        held = as_held(self.decoded.image)
        whole = mended(held, pixels, hole)
        image = fitted(whole, form.modes)
        said = _marked(self.metadata, provenance, form)
        kept = said.for_mode(image.mode, held.mode).within(form.keeps, form.most_bytes, form.name)
        content = encoded(image, replace(form, pixels={**form.pixels, **self._coding(form, image.mode)}), kept)
        change = None if form.lossless or hole.all() else _greatest_change(content, image, hole)
        notes = (*self.notes, *_mode_notes(whole.mode, image.mode, form.name), *kept.lost)
        return Written(content, notes, change)

    def _coding(self, form: Format, mode: str) -> Mapping[str, Any]:
        """Return the options that code a JPEG as the JPEG was that it came from, so that known pixels change least."""
        source = self.decoded.image
        if form.name != "JPEG" or not isinstance(source, JpegImagePlugin.JpegImageFile) or source.mode != mode:
            return {}
        sampling = JpegImagePlugin.get_sampling(source)
        return {
            "quality": -1,
            "qtables": source.quantization,
            "subsampling": 0 if sampling == _UNKNOWN_SAMPLING else sampling,  # Pillow names three kinds; this keeps all
            "progressive": "progressive" in source.info,
            "keep_rgb": mode == "RGB" and source.info.get("adobe_transform") == 0,
        }


def _marked(metadata: Metadata, provenance: Provenance | None, form: Format) -> Metadata:
    if provenance is None:
        return metadata
    if "xmp" not in form.keeps:
        return replace(metadata, lost=(*metadata.lost, f"{form.name} cannot say where the picture comes from"))
    return marked(metadata, provenance)


def _mode_notes(before: str, after: str, place: str) -> tuple[str, ...]:
    """Return what is lost where a picture is written in another mode, in words."""
    if before in _ALPHA and after not in _ALPHA:
        return (f"transparent parts are laid on white: {place} holds no transparency",)
    if before in {"CMYK", "LAB"} and after != before:
        return (f"{before} becomes {after}: {place} holds no {before}",)
    return ()


def _greatest_change(content: bytes, image: Image.Image, hole: Bool[np.ndarray, "height width"]) -> int:
    """Return by how much the known pixels of a picture differ from those in its file."""
    with Image.open(io.BytesIO(content)) as again:
        apart = cv2.absdiff(np.asarray(to_rgb(again)), np.asarray(to_rgb(image)))
    return int(apart.max(axis=2)[~hole].max(initial=0))
