"""Masks of straight-edged shapes: boxes, scattered pixels, an outer border."""

from abc import abstractmethod
from typing import Literal

import numpy as np
from jaxtyping import Bool
from pydantic import Field, model_validator

from components.corruption.ranges import CountRange, FractionRange
from components.section import Section

SMALLEST_SIDE = 8
"""Pixels; below this the thinnest stroke cannot be told from a box."""

Mask = Bool[np.ndarray, "height width"]


class MaskSection(Section):
    """What every kind of mask has: a name, a share of the mix, and a way to draw one."""

    kind: str
    weight: float = Field(default=1.0, gt=0)
    """Share of images that get this kind, relative to the weights of the other kinds in the mix."""

    def draw(self, size: int, rng: np.random.Generator) -> Mask:
        """Return one mask, True where pixels are missing. It may be empty or full.

        Args:
            size: Side of the square image, in pixels.
            rng: The only source of randomness: equal generators give equal masks.

        Returns:
            Shape (size, size).

        Raises:
            ValueError: `size` is under 8.
        """
        if size < SMALLEST_SIDE:
            raise ValueError(f"found an image side of {size} px, expected at least {SMALLEST_SIDE} px")
        return self._draw(size, rng)

    @abstractmethod
    def _draw(self, size: int, rng: np.random.Generator) -> Mask: ...


class BoxesConfig(MaskSection):
    """A union of upright rectangles.

    After LaMa's rectangles (Suvorov et al. 2021, https://arxiv.org/abs/2109.07161), whose training settings at 256 px
    are the defaults, in fractions of the side.
    """

    kind: Literal["boxes"] = "boxes"
    boxes: CountRange = (1, 4)
    """Fewest and most boxes."""
    side: FractionRange = (30 / 256, 150 / 256)
    """Shortest and longest side of a box, as a fraction of the image's side."""
    margin: float = Field(default=10 / 256, ge=0, lt=0.5)
    """Strip along the image's edge that no box enters, as a fraction of the side."""

    @model_validator(mode="after")
    def _boxes_fit_inside_the_margin(self) -> "BoxesConfig":
        if self.side[0] > 1 - 2 * self.margin:
            raise ValueError(f"boxes of side {self.side[0]} do not fit between margins of {self.margin}")
        return self

    def _draw(self, size: int, rng: np.random.Generator) -> Mask:
        mask = np.zeros((size, size), dtype=bool)
        boxes = int(rng.integers(self.boxes[0], self.boxes[1] + 1))
        margin = round(self.margin * size)
        room = max(size - 2 * margin, 1)
        shortest, longest = self.side[0] * size, self.side[1] * size
        # Plain floats: for so few numbers, NumPy's calls would cost more than the boxes.
        for height, width, down, across in rng.random((boxes, 4)).tolist():
            high = min(round(shortest + height * (longest - shortest)) or 1, room)
            wide = min(round(shortest + width * (longest - shortest)) or 1, room)
            top, left = margin + int(down * (room - high + 1)), margin + int(across * (room - wide + 1))
            mask[top : top + high, left : left + wide] = True
        return mask


class ScatterConfig(MaskSection):
    """Single pixels missing independently of each other, all at the same rate within an image."""

    kind: Literal["scatter"] = "scatter"
    fraction: FractionRange = (0.05, 0.5)
    """Lowest and highest share of pixels that are missing."""

    def _draw(self, size: int, rng: np.random.Generator) -> Mask:
        return rng.random((size, size), dtype=np.float32) < rng.uniform(*self.fraction)


class BorderConfig(MaskSection):
    """Strips along some of the four edges, to be painted outwards from the middle; at least one strip.

    After LaMa's outpainting masks (Suvorov et al. 2021, https://arxiv.org/abs/2109.07161).
    """

    kind: Literal["border"] = "border"
    depth: FractionRange = (0.04, 0.25)
    """Thinnest and thickest strip, as a fraction of the side; a strip is at least one pixel."""
    edge_fraction: float = Field(default=0.5, ge=0, le=1)
    """Chance that an edge has a strip; if none has, one edge is picked."""

    def _draw(self, size: int, rng: np.random.Generator) -> Mask:
        chosen = rng.random(4) < self.edge_fraction
        if not chosen.any():
            chosen[rng.integers(4)] = True
        depths = np.maximum(np.rint(rng.uniform(*self.depth, 4) * size).astype(int), 1) * chosen
        top, bottom, left, right = (int(depth) for depth in depths)
        mask = np.ones((size, size), dtype=bool)
        mask[top : size - bottom, left : size - right] = False
        return mask
