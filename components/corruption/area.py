"""How much of an image is missing: whether a range can be met, and the nearest mask that meets it."""

import math
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float64

from components.corruption.shapes import Mask

_TIE_PX = 1e-3


class Allowed(NamedTuple):
    """The fewest and most missing pixels, both included."""

    fewest: int
    most: int

    def admits(self, missing: Mask) -> bool:
        """Return whether the number of missing pixels is within bounds."""
        return self.fewest <= int(np.count_nonzero(missing)) <= self.most

    def distance(self, missing: Mask) -> int:
        """Return by how many pixels the mask is too small or too large."""
        count = int(np.count_nonzero(missing))
        return max(self.fewest - count, count - self.most, 0)


def allowed_pixels(area: tuple[float, float], pixels: int) -> Allowed:
    """Return the bounds that the area range (low, high], in fractions of the image, sets for `pixels` pixels.

    Raises:
        ValueError: The range is not within [0, 1] in order, or no whole number of pixels lies in it.
    """
    low, high = area
    if not 0 <= low < high <= 1:
        raise ValueError(f"found the area range ({low}, {high}], expected 0 <= low < high <= 1")
    allowed = Allowed(math.floor(low * pixels + 1e-9) + 1, math.floor(high * pixels + 1e-9))
    if allowed.fewest > allowed.most:
        raise ValueError(f"the area range ({low}, {high}] holds no whole number of the image's {pixels} pixels")
    return allowed


def fitted(missing: Mask, kept: Mask, allowed: Allowed, rng: np.random.Generator) -> Mask:
    """Return `missing` grown or shrunk at its rim to the middle of the allowed range.

    Always ends: pixels are added by their distance to the mask, or taken away by their distance to its rim, until
    the count is right. An empty mask grows from one pixel.

    Args:
        missing: The mask.
        kept: Pixels that stay missing; at most `allowed.most`.
        allowed: The bounds to end in.
        rng: Draws that first pixel, and the order among pixels at equal distance.
    """
    target = max((allowed.fewest + allowed.most) // 2, int(np.count_nonzero(kept)))
    grown = missing | kept
    if not grown.any():
        grown.reshape(-1)[rng.integers(grown.size)] = True
    count = int(np.count_nonzero(grown))
    if count < target:
        order = np.where(grown, -np.inf, _distance_to_zero(~grown))
    else:
        order = np.where(kept, -np.inf, np.where(grown, -_distance_to_zero(grown), np.inf))
    order += rng.random(order.shape) * _TIE_PX
    chosen = np.argsort(order, axis=None, kind="stable")[:target]
    result = np.zeros(grown.size, dtype=bool)
    result[chosen] = True
    return result.reshape(grown.shape)


def _distance_to_zero(marked: Mask) -> Float64[np.ndarray, "height width"]:
    """Return each marked pixel's distance in pixels to the nearest unmarked one; the image's edge does not count."""
    if marked.all():
        return np.ones(marked.shape)
    return np.asarray(cv2.distanceTransform(marked.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float64)
