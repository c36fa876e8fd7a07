"""Noise added per pixel and channel: Gaussian, shot, impulse, speckle.

The first three are drawn by inverting the distribution's cumulative function at 4096 quantiles, tabulated per pixel
level: one random integer and one look-up per value, with no floating-point image in between.
"""

from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, ndtri

from components.corruption.degradation import DegradationSection, Image, Table, at_severity
from components.corruption.shapes import Mask

_QUANTILES = 4096
_LEVELS = np.arange(256, dtype=np.float64)[:, None] / 255

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
        return _sampled(image, _gaussian_table(sigma), rng), None, {"sigma": sigma}


class ShotNoiseConfig(DegradationSection):
    """Photon noise of weak light: clip(Poisson(photons x) / photons), x in [0, 1]."""

    kind: Literal["shot_noise"] = "shot_noise"

    def _degrade(
        self, image: Image, severity: int, rng: np.random.Generator
    ) -> tuple[Image, Mask | None, dict[str, Any]]:
        photons = at_severity(_SHOT_PHOTONS, image, severity)
        return _sampled(image, _shot_table(photons), rng), None, {"photons": photons}


class SpeckleNoiseConfig(DegradationSection):
    """Noise in proportion to brightness: clip(x + x N(0, sigma)), x in [0, 1]."""

    kind: Literal["speckle_noise"] = "speckle_noise"

    def _degrade(
        self, image: Image, severity: int, rng: np.random.Generator
    ) -> tuple[Image, Mask | None, dict[str, Any]]:
        sigma = at_severity(_SPECKLE_SIGMA, image, severity)
        return _sampled(image, _speckle_table(sigma), rng), None, {"sigma": sigma}


class ImpulseNoiseConfig(DegradationSection):
    """Salt and pepper: a share of values, channel by channel, becomes 0 or 255 with equal chance."""

    kind: Literal["impulse_noise"] = "impulse_noise"

    def _degrade(
        self, image: Image, severity: int, rng: np.random.Generator
    ) -> tuple[Image, Mask | None, dict[str, Any]]:
        amount = at_severity(_IMPULSE_AMOUNT, image, severity)
        draws = _random_words(image.size, rng).reshape(image.shape)
        changed = round(amount * 2**16)
        degraded = image.copy()
        degraded[draws < changed] = 255
        degraded[draws < changed // 2] = 0
        return degraded, None, {"amount": amount}


def _random_words(count: int, rng: np.random.Generator) -> NDArray[np.uint16]:
    return np.frombuffer(rng.bytes(2 * count), dtype="<u2")


def _sampled(image: Image, table: NDArray[np.uint8], rng: np.random.Generator) -> Image:
    index = image.reshape(-1).astype(np.int32)
    index *= _QUANTILES
    index += _random_words(image.size, rng) >> 4
    return table.take(index, mode="clip").reshape(image.shape)


def _normal_quantiles() -> NDArray[np.float64]:
    return np.asarray(ndtri((np.arange(_QUANTILES) + 0.5) / _QUANTILES)[None, :])


def _rounded(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    table = np.rint(values * 255).clip(0, 255).astype(np.uint8).reshape(-1)
    table.flags.writeable = False
    return table


@lru_cache(maxsize=16)
def _gaussian_table(sigma: float) -> NDArray[np.uint8]:
    return _rounded(_LEVELS + sigma * _normal_quantiles())


@lru_cache(maxsize=16)
def _speckle_table(sigma: float) -> NDArray[np.uint8]:
    return _rounded(_LEVELS * (1 + sigma * _normal_quantiles()))


@lru_cache(maxsize=16)
def _shot_table(photons: float) -> NDArray[np.uint8]:
    """Return the quantiles of Poisson(photons x) / photons for each level x; Poisson(0) is 0."""
    counts = np.arange(int(photons + 8 * np.sqrt(photons) + 16))
    quantiles = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    table = np.zeros((256, _QUANTILES))
    for level in range(1, 256):
        mean = photons * level / 255
        cumulative = np.cumsum(np.exp(counts * np.log(mean) - mean - gammaln(counts + 1)))
        table[level] = np.searchsorted(cumulative, quantiles) / photons
    return _rounded(table)
