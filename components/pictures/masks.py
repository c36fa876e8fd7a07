"""Masks: which pixels a picture says are missing, found out from what it looks like or told, or refused with counts."""

from typing import Literal, NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image

from components.pictures.colours import to_rgb

Meaning = Literal["white", "black", "alpha"]
"""What says that a pixel is missing: white, black, or opacity."""

Hole = Bool[np.ndarray, "height width"]
Share = UInt8[np.ndarray, "height width"]
"""How far each pixel is from the ground (0) to the mark (255)."""
Colour = Float[np.ndarray, "3"]

_WHITE, _HALF = 255, 127
_NOISE = 64
"""What codecs leave around edges is at most this share of 255; so are the faintest rims of marks in their files."""
_FAR, _AT_AN_END = 96, 32
"""Two colours among more are at least so far apart, and most pixels so near to one of them, in levels of 255."""
_ASTRAY = 64.0
"""Colours further than this from the line between ground and mark are a third colour, in levels of 255."""
_MOST_ASTRAY, _MOST_ONE_ASTRAY = 0.5, 0.02
"""Codecs leave so many third colours around edges, as a share of the mark, and no more of any one of them."""
_FEW_LEVELS = 8
_MOST_COLOURS = 1 << 16
_LIKELY_SHARE = 0.5
"""A mask that marks more may be one that marks what is known: a person must say."""
_COLOURED, _ROUNDING = 32, 8
"""Channels differ by more than this in a colour; by at most this in one colour that soft edges have rounded."""
_SAY = "mask-is white, black or alpha says what is missing"
_LOSSY = ("JPEG", "AVIF")


def hole_of(image: Image.Image, meaning: Meaning | None = None, grow_px: float = 0) -> Hole:
    """Return which pixels a mask marks as missing, the rims of what it marks among them.

    A mask that is all black marks none, one that is all white marks all. Without a `meaning` it is found out: a mask
    has two colours, and what codecs and soft brushes make between them. The mark is the coloured one, or the brighter
    one if none is; where all that can be seen has one colour, the mark is what is opaque. Numbers in place of levels, 0
    and 1, are two colours as well.

    Args:
        image: The mask, upright.
        meaning: What marks; None finds out.
        grow_px: By how much the marked parts grow on all sides.

    Raises:
        ValueError: It can be read in two ways; the counts say why.
    """
    hole = _grown(_marked(_share(image, meaning), lossy=image.format in _LOSSY), grow_px)
    if meaning is None and _LIKELY_SHARE < hole.mean() < 1:
        raise ValueError(f"it marks {hole.mean():.1%} of the pixels, which may be those that are known; {_SAY}")
    return hole


def _share(image: Image.Image, meaning: Meaning | None) -> Share:
    if meaning == "alpha":
        return _opacity(image)
    if meaning is not None:
        return _brightness(image, meaning)
    if image.has_transparency_data and _is_one_colour_where_seen(image):
        return _opacity(image)
    return _between_two_colours(_colours(image))


def _colours(image: Image.Image) -> Image.Image:
    """Return a mask in RGB, hidden colours too. Numbers that 16 bits hold and 8 would, too, are kept."""
    if image.mode.startswith("I;16") and (levels := np.asarray(image)).max() <= _WHITE:
        return Image.fromarray(levels.astype(np.uint8)).convert("RGB")
    return image.convert("RGBA").convert("RGB") if image.has_transparency_data else to_rgb(image)


def _opacity(image: Image.Image) -> Share:
    alpha = np.asarray(image.convert("RGBA").getchannel("A")) if image.has_transparency_data else np.array([[_WHITE]])
    if alpha.min() == alpha.max():
        raise ValueError(f"its opacity is {alpha.max()} of 255 everywhere, so that it marks nothing or everything")
    return np.asarray((alpha.astype(np.uint16) * _WHITE + alpha.max() - 1) // alpha.max(), np.uint8)


def _is_one_colour_where_seen(image: Image.Image) -> bool:
    """Return whether opacity varies and colours do not, but for the rounding of soft edges."""
    alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    seen = np.asarray(_colours(image))[alpha >= max(1, alpha.max() // 2)]
    return bool(alpha.min() < alpha.max() and np.ptp(seen, axis=0).max() <= _ROUNDING)


def _brightness(image: Image.Image, meaning: Literal["white", "black"]) -> Share:
    grey = np.asarray(_colours(image).convert("L"))
    if meaning == "white" and 0 < grey.max() <= _HALF:
        raise ValueError(f"no pixel is white; the brightest has {grey.max()} of 255")
    if meaning == "black" and _WHITE > grey.min() > _HALF:
        raise ValueError(f"no pixel is black; the darkest has {grey.min()} of 255")
    return grey if meaning == "white" else _WHITE - grey


class _Tally(NamedTuple):
    """The colours of a mask, the commonest first."""

    colours: Float[np.ndarray, "colours 3"]
    counts: Int[np.ndarray, " colours"]

    def __str__(self) -> str:
        parts = zip(self.colours[:4], self.counts / self.counts.sum(), strict=False)
        more = f" and {len(self.counts) - 4} more" if len(self.counts) > 4 else ""
        return ", ".join(f"{_named(colour)} {share:.1%}" for colour, share in parts) + more


def _tally(mask: Image.Image) -> _Tally:
    found = mask.getcolors(_MOST_COLOURS)
    if found is None:
        raise ValueError(f"more than {_MOST_COLOURS} colours, as in a photo; a mask has two")
    ordered = sorted(found, reverse=True)
    return _Tally(np.array([colour for _, colour in ordered], np.float32), np.array([count for count, _ in ordered]))


def _between_two_colours(mask: Image.Image) -> Share:
    """Return where each pixel of a mask in RGB lies between the two colours that it is made of."""
    tally = _tally(mask)
    if len(tally.counts) == 1:
        return _of_one_colour(mask, tally.colours[0])
    first, away = tally.colours[0], np.linalg.norm(tally.colours - tally.colours[0], axis=1)
    second = tally.colours[(away > away.max() / 2).argmax()]  # the commonest of those that are far
    ground, mark = (first, second) if _marks(second, first) else (second, first)
    if len(tally.counts) > 2:
        _demand_two_colours(tally, ground, mark)
    row = _WHITE * (mark - ground) / ((mark - ground) @ (mark - ground))
    return np.asarray(cv2.transform(np.asarray(mask), np.append(row, -row @ ground)[None]))


def _of_one_colour(mask: Image.Image, colour: Colour) -> Share:
    if colour.max() > 0 and colour.min() < _WHITE:
        raise ValueError(f"all its pixels have the colour {_named(colour)}, so that it marks nothing or everything")
    return np.full(mask.size[::-1], colour.max(), np.uint8)


def _marks(one: Colour, other: Colour) -> bool:
    """Return whether one colour marks what is missing on a ground of the other: it is coloured, or else brighter."""
    chroma, of_other = np.ptp(one), np.ptp(other)
    if abs(chroma - of_other) > _COLOURED:
        return bool(chroma > of_other)
    return bool(one.sum() > other.sum())


def _demand_two_colours(tally: _Tally, ground: Colour, mark: Colour) -> None:
    """Raise ValueError unless all colours are two, or what lies between two that are far apart and have most pixels."""
    way = mark - ground
    if np.abs(way).max() < _FAR:
        levels = tally.colours.max(axis=1)
        raise ValueError(
            f"{'no pixel is white; ' if levels.max() <= _HALF else ''}the brightest has {levels.max():.0f} of 255, "
            f"the darkest {levels.min():.0f}, and there are {len(np.unique(levels))} levels, where a mask has two"
        )
    place = ((tally.colours - ground) @ way / (way @ way)).clip(0, 1)
    astray = np.linalg.norm(tally.colours - ground - place[:, None] * way, axis=1) > _ASTRAY
    shares = tally.counts / tally.counts.sum()
    marked = shares[place > 0.5].sum()
    if shares[astray].sum() > _MOST_ASTRAY * marked or shares[astray].max(initial=0) > _MOST_ONE_ASTRAY * marked:
        raise ValueError(f"it has more than two colours, {tally}; {_SAY}")
    between = shares[(place * _WHITE > _AT_AN_END) & (place * _WHITE < _WHITE - _AT_AN_END)].sum()
    if between > _LIKELY_SHARE:
        raise ValueError(f"{between:.1%} of its pixels lie between its two colours, as in a photo, {tally}; {_SAY}")


def _marked(share: Share, *, lossy: bool) -> Hole:
    """Return what is marked: all that is not ground, or more than a codec leaves where it left faint specks there."""
    if lossy:
        return share > _NOISE
    touched = share > 0
    if not (touched & (share <= _NOISE)).any():
        return touched
    parts, labels = cv2.connectedComponents(touched.astype(np.uint8), connectivity=8)
    certain = np.zeros(parts, np.bool_)
    certain[labels[share > _NOISE]] = True
    specks = touched & ~certain[labels]
    levels = np.unique(share[specks])
    if 0 < len(levels) < _FEW_LEVELS:
        raise ValueError(
            f"{specks.sum()} pixels are marked faintly, at {', '.join(map(str, levels))} of 255, apart from the "
            f"others; {_SAY}"
        )
    return share > _NOISE if len(levels) else touched


def _grown(hole: Hole, grow_px: float) -> Hole:
    if not 0 <= grow_px < np.inf:
        raise ValueError(f"it cannot grow by {grow_px} px; expected 0 or more")
    if grow_px == 0 or not hole.any():
        return hole
    away = cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(away <= grow_px)


def _named(colour: Colour) -> str:
    return "(" + ", ".join(f"{level:.0f}" for level in colour) + ")"
