"""Noise added per pixel and channel: Gaussian, shot, impulse, speckle.

Drawn by inverting the distribution's cumulative function, tabulated: one random 16-bit word and one look-up per value.
Shot noise, whose distribution differs from level to level, has 4096 quantiles for each; the others 65536 for all.
"""

from functools import lru_cache
from typing import Any, Literal

import cv2
import numpy as np
import scipy  # its parts are imported when they are first used
from numpy.typing import NDArray

from components.corruption.degradation import DegradationSection, Image, Table, at_severity
from components.corruption.shapes import Mask
from components.seeding import bulk_generator

_WORDS = 2**16
_SHOT_QUANTILES = 4096

_GAUSSIAN_SIGMA: Table[float] = {
    32: (0.04, 0.06, 0.08, 0.09, 0.10),
    64: (0.04, 0.08, 0.12, 0.15, 0.18),
    224: (0.08, 0.12, 0.18, 0.26, 0.38),
}
_SHOT_PHOTONS: Table[float] = {32: (500, 250, 100, 75, 50), 64: (250, 100, 50, 30, 15), 224: (60, 25, 12, 5, 3)}
_IMPULSE_AMOUNT: Table[float] = {
    32: (0.01, 0.02, 0.03, 0.05, 0.07),
    64: (0.01, 0.02, 0.05, 0.08, 0.14),
    224: (0.03, 0.06, 0.09, 0.17, 0.27),
}
_SPECKLE_SIGMA: Table[float] = {
    32: (0.06, 0.10, 0.12, 0.16, 0.20),
    64: (0.15, 0.20, 0.25, 0.30, 0.35),
    224: (0.15, 0.20, 0.35, 0.45, 0.60),
}


class GaussianNoiseConfig(DegradationSection):
    """Normal noise of one deviation everywhere: clip(x + N(0, sigma)), x in [0, 1]."""

    kind: Literal["gaussian_noise"] = "gaussian_noise"

    def _degrade(
        self, image: Image, severity: int, rng: np.random.Generator
    ) -> tuple[Image, Mask | None, dict[str, Any]]:
        sigma = at_severity(_GAUSSIAN_SIGMA, image, severity)
        noise = cv2.LUT(_random_words(image, rng), _rounded_normal(255 * sigma))
        return _u8(cv2.add(image, noise, dtype=cv2.CV_8U)), None, {"sigma": sigma}


class ShotNoiseConfig(DegradationSection):
    """Photon noise of weak light: clip(Poisson(photons x) / photons), x in [0, 1]."""

    kind: Literal["shot_noise"] = "shot_noise"

    def _degrade(
        self, image: Image, severity: int, rng: np.random.Generator
    ) -> tuple[Image, Mask | None, dict[str, Any]]:
        photons = at_severity(_SHOT_PHOTONS, image, severity)
        index = image.astype(np.int32)
        index *= _SHOT_QUANTILES
        index += _random_words(image, rng) // (_WORDS // _SHOT_QUANTILES)
        return _shot_table(photons).take(index, mode="clip"), None, {"photons": photons}


class SpeckleNoiseConfig(DegradationSection):
    """Noise in proportion to brightness: clip(x + x N(0, sigma)), x in [0, 1]."""

    kind: Literal["speckle_noise"] = "speckle_noise"

    def _degrade(
        self, image: Image, severity: int, rng: np.random.Generator
    ) -> tuple[Image, Mask | None, dict[str, Any]]:
        sigma = at_severity(_SPECKLE_SIGMA, image, severity)
        factor = cv2.LUT(_random_words(image, rng), _normal_around_one(sigma))
        return _u8(cv2.multiply(image, factor, dtype=cv2.CV_8U)), None, {"sigma": sigma}


class ImpulseNoiseConfig(DegradationSection):
    """Salt and pepper: a share of values, channel by channel, becomes 0 or 255 with equal chance."""

    kind: Literal["impulse_noise"] = "impulse_noise"

    def _degrade(
        self, image: Image, severity: int, rng: np.random.Generator
    ) -> tuple[Image, Mask | None, dict[str, Any]]:
        amount = at_severity(_IMPULSE_AMOUNT, image, severity)
        words = _random_words(image, rng)
        changed = round(amount * _WORDS)
        # As bytes of all or no bits: on whole images that takes a tenth of the time of assigning by mask.
        degraded = image | np.negative((words < changed).view(np.uint8))
        degraded &= np.subtract((words < changed // 2).view(np.uint8), 1)
        return degraded, None, {"amount": amount}


def _random_words(image: Image, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Return a random word for each value of the image."""
    raw: NDArray[np.uint64] = bulk_generator(rng).bit_generator.random_raw(-(-image.size // 4))
    return raw.view(np.uint16)[: image.size].reshape(image.shape)


def _u8(image: NDArray[Any]) -> Image:
    return np.asarray(image, dtype=np.uint8)


def _normal_quantiles() -> NDArray[np.float64]:
    return np.asarray(scipy.special.ndtri((np.arange(_WORDS) + 0.5) / _WORDS))


def _fixed(table: NDArray[Any]) -> NDArray[Any]:
    table.flags.writeable = False
    return table


@lru_cache(maxsize=16)
def _rounded_normal(deviation: float) -> NDArray[np.int16]:
    return _fixed(np.rint(deviation * _normal_quantiles()).astype(np.int16))


@lru_cache(maxsize=16)
def _normal_around_one(deviation: float) -> NDArray[np.float32]:
    return _fixed((1 + deviation * _normal_quantiles()).astype(np.float32))


@lru_cache(maxsize=16)
def _shot_table(photons: float) -> NDArray[np.uint8]:
    """Return the quantiles of Poisson(photons x) / photons for each level x; Poisson(0) is 0."""
    counts = np.arange(int(photons + 8 * np.sqrt(photons) + 16))
    quantiles = (np.arange(_SHOT_QUANTILES) + 0.5) / _SHOT_QUANTILES
    table = np.zeros((256, _SHOT_QUANTILES))
    for level in range(1, 256):
        mean = photons * level / 255
        cumulative = np.cumsum(np.exp(counts * np.log(mean) - mean - scipy.special.gammaln(counts + 1)))
        table[level] = np.searchsorted(cumulative, quantiles) / photons
    return _fixed(np.rint(table * 255).clip(0, 255).astype(np.uint8).reshape(-1))
