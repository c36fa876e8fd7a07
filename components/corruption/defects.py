"""Damage that hides pixels and says which: scratches on the print, dead pixels and lines of the sensor.

No table is published for either; the numbers are our own, chosen so that every severity costs more decibels.
"""

import math
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from components.corruption.degradation import DegradationSection, Image
from components.corruption.shapes import Mask

_MEAN_SCRATCHES = (1, 2, 4, 7, 12)
_DEAD_FRACTION = (0.001, 0.003, 0.01, 0.03, 0.08)
_DEAD_LINE_CHANCE = (0.0, 0.1, 0.25, 0.5, 0.8)


class ScratchesConfig(DegradationSection):
    """Thin, mostly upright scratches, white or black or of a colour from the image; at least one.

    Mean number 1, 2, 4, 7, 12 by severity; 0.3 to 1.2 image heights long; 1 to 2 px wide per 128 px of height.
    """

    kind: Literal["scratches"] = "scratches"
    marks_missing: ClassVar[bool] = True

    def _degrade(
        self, image: Image, severity: int, rng: np.random.Generator
    ) -> tuple[Image, Mask | None, dict[str, Any]]:
        scratches = max(int(rng.poisson(_MEAN_SCRATCHES[severity - 1])), 1)
        degraded = image.copy()
        missing = np.zeros(image.shape[:2], dtype=bool)
        for _ in range(scratches):
            box, cover = _scratch(image.shape[0], image.shape[1], rng)
            cover *= np.float32(rng.uniform(0.5, 1))
            colour = _scratch_colour(image, rng)
            touched = cover > 1 / 255
            strength = cover[touched][:, None]
            part = degraded[box]
            part[touched] = np.rint(part[touched] * (1 - strength) + colour * strength).astype(np.uint8)
            missing[box] |= touched
        return degraded, missing, {"scratches": scratches}


class DeadPixelsConfig(DegradationSection):
    """Pixels that always read black (half), white (three in ten) or have one channel stuck; some in 2 x 2 clusters.

    Share 0.1, 0.3, 1, 3, 8 % by severity, at least one pixel; one whole row or column is black with a chance of 0,
    10, 25, 50, 80 %.
    """

    kind: Literal["dead_pixels"] = "dead_pixels"
    marks_missing: ClassVar[bool] = True

    def _degrade(
        self, image: Image, severity: int, rng: np.random.Generator
    ) -> tuple[Image, Mask | None, dict[str, Any]]:
        height, width = image.shape[:2]
        dead = max(round(_DEAD_FRACTION[severity - 1] * height * width), 1)
        rows, columns = np.divmod(rng.choice(height * width, dead, replace=False), width)
        values, stuck = _dead_values(dead, rng)
        clustered = rng.random(dead) < 0.1
        degraded = image.copy()
        missing = np.zeros((height, width), dtype=bool)
        for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
            chosen = clustered if down or right else np.ones(dead, dtype=bool)
            at = np.minimum(rows[chosen] + down, height - 1), np.minimum(columns[chosen] + right, width - 1)
            degraded[at] = np.where(stuck[chosen], values[chosen], degraded[at])
            missing[at] = True
        drawn: dict[str, Any] = {"dead_pixels": dead}
        if rng.random() < _DEAD_LINE_CHANCE[severity - 1]:
            drawn |= _kill_line(degraded, missing, rng)
        return degraded, missing, drawn


def _scratch(
    height: int, width: int, rng: np.random.Generator
) -> tuple[tuple[slice, slice], Float32[np.ndarray, "rows columns"]]:
    """Return the part of the image that one scratch lies in, and the share in [0, 1] that it covers of each pixel."""
    segments = int(rng.integers(1, 6))
    lean = rng.normal(math.pi / 2, math.radians(10))
    angles = lean + rng.normal(0, math.radians(10), segments)
    step = rng.uniform(0.3, 1.2) * height / segments
    start = np.array([rng.uniform(0, width), rng.uniform(-0.2, 0.8) * height])
    bends = np.cumsum(step * np.stack([np.cos(angles), np.sin(angles)], axis=1), axis=0)
    points = np.rint(np.concatenate([start[None], start + bends])).astype(np.int32)
    thickness = int(rng.integers(1, math.ceil(height / 128) + 2)) if height >= 64 else 1
    edge = np.array([width, height])
    low = np.clip(points.min(axis=0) - thickness - 2, 0, edge - 1)
    high = np.clip(points.max(axis=0) + thickness + 3, low + 1, edge)
    cover = np.zeros((high[1] - low[1], high[0] - low[0]), dtype=np.uint8)
    cv2.polylines(cover, [(points - low).astype(np.int32).reshape(-1, 1, 2)], False, (255.0,), thickness)  # noqa: FBT003
    if height >= 128:
        cover = np.asarray(cv2.GaussianBlur(cover, (3, 3), 0.5), dtype=np.uint8)
    box = slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))
    return box, cover.astype(np.float32) / np.float32(255)


def _scratch_colour(image: Image, rng: np.random.Generator) -> Float32[np.ndarray, "3"]:
    row, column = rng.integers(image.shape[0]), rng.integers(image.shape[1])
    palette = np.stack([np.full(3, 255), np.zeros(3), image[row, column]]).astype(np.float32)
    return np.asarray(palette[int(rng.choice(3, p=(0.7, 0.2, 0.1)))], dtype=np.float32)


def _dead_values(dead: int, rng: np.random.Generator) -> tuple[UInt8[np.ndarray, "dead 3"], Bool[np.ndarray, "dead 3"]]:
    """Return, per pixel, the value that is read and the channels that read it."""
    fate = rng.choice(3, dead, p=(0.5, 0.3, 0.2))
    bright = np.where(fate == 2, rng.random(dead) < 0.5, fate == 1)
    channel = rng.integers(0, 3, dead)
    stuck = (fate != 2)[:, None] | (channel[:, None] == np.arange(3))
    return np.repeat((bright * 255).astype(np.uint8)[:, None], 3, axis=1), stuck


def _kill_line(image: Image, missing: Mask, rng: np.random.Generator) -> dict[str, Any]:
    axis = int(rng.integers(2))
    place = int(rng.integers(image.shape[axis]))
    line = (slice(None), place) if axis else (place, slice(None))
    image[line] = 0
    missing[line] = True
    return {"dead_column" if axis else "dead_row": place}
