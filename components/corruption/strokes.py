"""Free-form masks: brush strokes and random walks, drawn on a canvas of at least 256 px and reduced by area.

Widths and lengths are fractions of the side. The published pixel values, used unscaled on a 32 px image, would hide
99 % of it.
"""

import math
from typing import Literal, NamedTuple

import cv2
import numpy as np
from jaxtyping import Int32, Num, UInt8
from pydantic import Field

from components.corruption.ranges import FractionRange
from components.corruption.shapes import Mask, MaskSection

CANVAS_PX = 256
_MOST_SEGMENTS = 5
_MOST_TURN = 4.0
_MARKED = (1.0,)
_WHITE = np.uint8(255)
_Places = Int32[np.ndarray, " steps"]


class _Brush(NamedTuple):
    strokes: tuple[int, int]
    width_px: tuple[float, float]
    length_px: tuple[float, float]


_BRUSHES = {
    "thin": _Brush((4, 50), (5, 15), (10, 50)),
    "medium": _Brush((4, 5), (5, 55), (10, 110)),
    "thick": _Brush((1, 5), (5, 105), (10, 210)),
}


class StrokesConfig(MaskSection):
    """Brush strokes of one to five straight segments.

    The thin, medium and thick masks that LaMa is evaluated on at 256 px (Suvorov et al. 2021,
    https://arxiv.org/abs/2109.07161), scaled to the image's side; the angle is drawn from all of [0, 4) radians.
    """

    kind: Literal["strokes"] = "strokes"
    style: Literal["thin", "medium", "thick"] = "medium"
    """thin: 4-50 strokes 2-6 % of the side wide; medium: 4-5, 2-21 %; thick: 1-5, 2-41 %."""

    def _draw(self, size: int, rng: np.random.Generator) -> Mask:
        brush = _BRUSHES[self.style]
        side = _canvas_px(size)
        scale = side / CANVAS_PX
        canvas = np.zeros((side, side), dtype=np.uint8)
        strokes = int(rng.integers(brush.strokes[0], brush.strokes[1] + 1))
        shortest, longer = brush.length_px[0], brush.length_px[1] - brush.length_px[0]
        thinnest, wider = brush.width_px[0], brush.width_px[1] - brush.width_px[0]
        # One call for all numbers, then plain floats, written out: for so few of them, NumPy's calls would cost more
        # than the lines, and so would Python's.
        for stroke, (segments, x, y, *numbers) in enumerate(rng.random((strokes, 3 + 3 * _MOST_SEGMENTS)).tolist()):
            most_turn = _MOST_TURN if stroke % 2 else -_MOST_TURN
            x, y = x * side, y * side
            start = int(x), int(y)
            for first in range(0, 3 * (1 + int(segments * _MOST_SEGMENTS)), 3):
                turn, length, width = numbers[first : first + 3]
                step, angle = (shortest + length * longer) * scale, turn * most_turn
                x, y = x + step * math.sin(angle), y + step * math.cos(angle)
                x = 0 if x < 0 else side if x > side else x
                y = 0 if y < 0 else side if y > side else y
                end = int(x), int(y)
                cv2.line(canvas, start, end, _MARKED, int((thinnest + width * wider) * scale) or 1)
                start = end
        return _reduced(canvas, size)


class WalkConfig(MaskSection):
    """The cells that a random walk visits, thickened; ragged like the irregular masks of Liu et al. 2018.

    Our own procedure (the published masks, https://arxiv.org/abs/1804.07723, are files); the walk is reflected at the
    image's edge.
    """

    kind: Literal["walk"] = "walk"
    steps: FractionRange = (0.1, 1.0)
    """Fewest and most unit steps, as a fraction of the number of pixels of the 256 px canvas."""
    thickness: FractionRange = (1 / 256, 9 / 256)
    """Least and greatest diameter of the walker's brush, as a fraction of the side."""
    walks: int = Field(default=1, ge=1, le=100)
    """Independent walks whose visited cells are joined."""

    def _draw(self, size: int, rng: np.random.Generator) -> Mask:
        side = CANVAS_PX
        canvas = np.zeros((side, side), dtype=np.uint8)
        for _ in range(self.walks):
            steps = max(int(rng.uniform(*self.steps) * side * side), 1)
            x, y = _reflected_walk(side, steps, rng)
            canvas[y, x] = 1
        diameter = max(round(rng.uniform(*self.thickness) * side), 1)
        if diameter > 1:
            canvas = _u8(cv2.dilate(canvas, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))))
        if size > side:
            return _u8(cv2.resize(canvas * _WHITE, (size, size), interpolation=cv2.INTER_LINEAR)) >= 128
        whole = _canvas_px(size)
        if whole != side:
            canvas = _u8(cv2.resize(canvas, (whole, whole), interpolation=cv2.INTER_NEAREST))
        return _reduced(canvas, size)


def _reflected_walk(side: int, steps: int, rng: np.random.Generator) -> tuple[_Places, _Places]:
    """Return the x and y of a walk of unit steps, folded back at the edges of a square of `side` cells."""
    start = rng.integers(0, side, 2)
    direction = rng.integers(0, 4, steps, dtype=np.uint8)
    unit_steps = (np.array([1, -1, 0, 0], dtype=np.int8), np.array([0, 0, 1, -1], dtype=np.int8))
    x, y = (
        np.cumsum(unit[direction], dtype=np.int32) + np.int32(begin)
        for begin, unit in zip(start, unit_steps, strict=True)
    )
    return _folded(x, side), _folded(y, side)


def _folded(place: _Places, side: int) -> _Places:
    place %= 2 * side
    folded: _Places = np.minimum(place, 2 * side - 1 - place)
    return folded


def _canvas_px(size: int) -> int:
    """Return the smallest multiple of `size` that is at least 256, so that areas reduce in whole blocks."""
    return size * -(-CANVAS_PX // size)


def _reduced(canvas: UInt8[np.ndarray, "side side"], size: int) -> Mask:
    """Return True where at least half of a pixel's block of the canvas of 0 and 1 is marked."""
    if canvas.shape[0] == size:
        return canvas.view(np.bool_)
    return _u8(cv2.resize(canvas * _WHITE, (size, size), interpolation=cv2.INTER_AREA)) >= 128


def _u8(array: Num[np.ndarray, "height width"]) -> UInt8[np.ndarray, "height width"]:
    return np.asarray(array, dtype=np.uint8)
