"""Colours: from the mode of a picture's file to the RGB that networks see, and back without touching what is known."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

RGB = UInt8[np.ndarray, "height width 3"]

_BITS_PER_SAMPLE = 258
_OF_ALPHA = {"L": "LA", "RGB": "RGBA"}
_NEAREST = {"LA": ("RGBA", "L", "RGB")} | dict.fromkeys(("L", "RGBA", "CMYK", "LAB"), ("RGB",))
_STRAIGHT = {"1": "L", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB", "YCbCr": "RGB"}


def to_rgb(image: Image.Image) -> Image.Image:
    """Return a picture of any mode but I and F in RGB: 16-bit grey scaled, what is transparent on white.

    Colour profiles are not applied; the RGB of LAB is sRGB.
    """
    if image.mode.startswith("I;16"):
        return _scaled_to_8_bits(image).convert("RGB")
    if not image.has_transparency_data:
        converted = image.convert("RGB")
        if image.mode == "LAB":  # Pillow adds a profile that holds the time, so that equal pictures would differ
            converted.info.pop("icc_profile", None)
        return converted
    ground = Image.new("RGBA", image.size, "white")
    ground.alpha_composite(image.convert("RGBA"))
    return ground.convert("RGB")


def as_held(image: Image.Image) -> Image.Image:
    """Return a picture in the mode that its mended copy is held in, with equal pixels and nothing but pixels.

    That is its own, but for modes that cannot take what networks make: a palette becomes grey or RGB, and grey of one
    bit or of sixteen gets eight.
    """
    held = _scaled_to_8_bits(image) if image.mode.startswith("I;16") else image.convert(_held_mode(image))
    held.info = {}
    return held


def mended(held: Image.Image, pixels: RGB, hole: Bool[np.ndarray, "height width"]) -> Image.Image:
    """Return a picture that `as_held` gave, with the colours of `pixels` where `hole` is True. Alpha stays as it is."""
    result = held.copy()
    result.paste(_in_mode(pixels, held), mask=Image.fromarray(hole))
    return result


def fitted(image: Image.Image, modes: Sequence[str]) -> Image.Image:
    """Return a picture that `mended` gave in the nearest of `modes`, which end in RGB; transparency may go to white."""
    if image.mode in modes:
        return image
    mode = next(mode for mode in _NEAREST[image.mode] if mode in modes)
    return image.convert(mode) if mode == "RGBA" else to_rgb(image).convert(mode)


def _held_mode(image: Image.Image) -> str:
    mode = _STRAIGHT.get(image.mode, image.mode)
    if mode in {"P", "PA"}:
        mode = "L" if _is_grey(image) else "RGB"
    return _OF_ALPHA.get(mode, mode) if image.has_transparency_data else mode


def _is_grey(image: Image.Image) -> bool:
    """Return whether all colours that a palette picture uses are grey, and no profile says that they are RGB."""
    colours = np.asarray(image.convert("RGB"))
    return "icc_profile" not in image.info and not np.ptp(colours, axis=2).any()


def _in_mode(pixels: RGB, held: Image.Image) -> Image.Image:
    """Return colours in the mode of a picture, with its alpha where it has one."""
    if held.mode not in _OF_ALPHA.values():
        return Image.fromarray(pixels).convert(held.mode)
    alpha = held.getchannel("A")
    colours = Image.fromarray(_off_white(pixels, np.asarray(alpha))).convert(held.mode)
    colours.putalpha(alpha)
    return colours


def _off_white(pixels: RGB, alpha: UInt8[np.ndarray, "height width"]) -> RGB:
    """Return the colours that, laid on white with `alpha`, look like `pixels`, as near as there are any."""
    share = np.maximum(alpha, 1)[..., None] / np.float32(255)
    return np.asarray(np.clip(np.rint(255 - (255 - pixels.astype(np.float32)) / share), 0, 255), np.uint8)


def _scaled_to_8_bits(image: Image.Image) -> Image.Image:
    """Return 8-bit grey; Pillow's own conversion would clip all above 255 to white."""
    tags = getattr(image, "tag_v2", {})
    bits = int(tags.get(_BITS_PER_SAMPLE, (16,))[0])
    white = 2**bits - 1
    values = np.asarray(image).astype(np.uint32)  # of either byte order
    return Image.fromarray(((values * 255 + white // 2) // white).clip(0, 255).astype(np.uint8))
