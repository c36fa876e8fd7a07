"""Blurs: Gaussian, motion, defocus. Each cost grows with the radius, not with its square."""

import math
from functools import lru_cache
from typing import Any, Literal

import cv2
import numpy as np
from jaxtyping import Float32, Float64

from components.corruption.degradation import DegradationSection, Image, Table, at_severity
from components.corruption.shapes import Mask

_GAUSSIAN_SIGMA: Table[float] = {32: (0.4, 0.6, 0.7, 0.8, 1), 64: (0.5, 0.75, 1, 1.25, 1.5), 224: (1, 2, 3, 4, 6)}
_MOTION: Table[tuple[int, float]] = {
    32: ((6, 1), (6, 1.5), (6, 2), (8, 2.25), (9, 2.5)),  # published (8, 2): no farther than (6, 2), within 1/255
    64: ((10, 1), (10, 1.5), (10, 2), (10, 2.5), (12, 3)),
    224: ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
}
_DEFOCUS: Table[tuple[float, float]] = {
    32: ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    64: ((0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1)),
    224: ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
}
_Line = Float32[np.ndarray, " side"]
_LEAST_TAP = 0.002
_LEAST_TERM = 0.12
_TAPS_AT_ONCE = 11
"""OpenCV multiplies kernels of under 130 values directly, by their non-zero values only, and larger ones by Fourier
transform, which takes ten times as long for a line."""


class GaussianBlurConfig(DegradationSection):
    """A Gaussian blur; sigma in pixels."""

    kind: Literal["gaussian_blur"] = "gaussian_blur"

    def _degrade(
        self, image: Image, severity: int, rng: np.random.Generator
    ) -> tuple[Image, Mask | None, dict[str, Any]]:
        del rng
        sigma = at_severity(_GAUSSIAN_SIGMA, image, severity)
        blurred = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
        return np.asarray(blurred, dtype=np.uint8), None, {"sigma_px": sigma}


class MotionBlurConfig(DegradationSection):
    """A smear along one line: a one-sided Gaussian of 2 radius + 1 taps, at an angle drawn from [-45, 45] degrees."""

    kind: Literal["motion_blur"] = "motion_blur"

    def _degrade(
        self, image: Image, severity: int, rng: np.random.Generator
    ) -> tuple[Image, Mask | None, dict[str, Any]]:
        radius, sigma = at_severity(_MOTION, image, severity)
        angle = float(rng.uniform(-45, 45))
        drawn = {"radius_px": radius, "sigma_px": sigma, "angle_degrees": round(angle, 3)}
        return _smeared(image, radius, sigma, math.radians(angle)), None, drawn


class DefocusBlurConfig(DegradationSection):
    """The disc that a lens out of focus makes of a point; radius in pixels, its rim softened by a small Gaussian."""

    kind: Literal["defocus_blur"] = "defocus_blur"

    def _degrade(
        self, image: Image, severity: int, rng: np.random.Generator
    ) -> tuple[Image, Mask | None, dict[str, Any]]:
        del rng
        radius, softness = at_severity(_DEFOCUS, image, severity)
        blurred = np.zeros(image.shape, dtype=np.float32)
        for down, across in _separable_terms(radius, softness):
            blurred += cv2.sepFilter2D(image, cv2.CV_32F, across, down, borderType=cv2.BORDER_REFLECT_101)
        return _rounded(blurred), None, {"radius_px": radius, "softness_px": softness}


def _smeared(image: Image, radius: int, sigma: float, angle: float) -> Image:
    taps = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sigma**2))
    taps = taps[taps > _LEAST_TAP]
    taps /= taps.sum()
    rows, columns = (np.rint(np.arange(len(taps)) * part).astype(int) for part in (math.sin(angle), math.cos(angle)))
    reach = len(taps)
    height, width = image.shape[:2]
    padded = cv2.copyMakeBorder(image, reach, reach, reach, reach, cv2.BORDER_REPLICATE).astype(np.float32)
    smeared = np.zeros(image.shape, dtype=np.float32)
    for start in range(0, len(taps), _TAPS_AT_ONCE):
        part = slice(start, start + _TAPS_AT_ONCE)
        top, left = int(rows[part].min()), int(columns[part].min())
        kernel = np.zeros((int(rows[part].max()) - top + 1, int(columns[part].max()) - left + 1), dtype=np.float32)
        np.add.at(kernel, (rows[part] - top, columns[part] - left), taps[part])
        down, right = kernel.shape[0] - 1, kernel.shape[1] - 1
        seen = padded[reach + top :, reach + left :][: height + down, : width + right]
        smeared += cv2.filter2D(seen, -1, kernel, anchor=(0, 0))[:height, :width]
    return _rounded(smeared)


def _rounded(image: Float32[np.ndarray, "height width 3"]) -> Image:
    """Round and clip in one pass, which NumPy takes three for."""
    return np.asarray(cv2.addWeighted(image, 1, image, 0, 0, dtype=cv2.CV_8U), dtype=np.uint8)


def disc(radius: float, softness: float) -> Float64[np.ndarray, "side side"]:
    """Return the kernel of a lens out of focus, of odd side, summing to 1."""
    rim = 1 if radius <= 8 else 2
    reach = math.ceil(radius) + rim
    offsets = np.arange(-reach, reach + 1)
    hard = (offsets[:, None] ** 2 + offsets[None, :] ** 2 <= radius**2).astype(np.float64)
    soft = cv2.GaussianBlur(hard, (2 * rim + 1, 2 * rim + 1), softness, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(soft / soft.sum(), dtype=np.float64)


@lru_cache(maxsize=32)
def _separable_terms(radius: float, softness: float) -> tuple[tuple[_Line, _Line], ...]:
    """Return column and row kernels whose outer products add up to the disc, by singular values down to 12 %.

    Two photographs blurred so are at least 56 dB PSNR from the whole disc's blur; rounding to whole levels leaves 59.
    """
    left, strengths, right = np.linalg.svd(disc(radius, softness))
    kept = int((strengths > _LEAST_TERM * strengths[0]).sum())
    columns = (left[:, :kept] * strengths[:kept]).astype(np.float32)
    rows = right[:kept].astype(np.float32)
    total = float((columns.sum(axis=0) * rows.sum(axis=1)).sum())
    return tuple((columns[:, term] / np.float32(total), rows[term]) for term in range(kept))
