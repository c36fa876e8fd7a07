"""Stationary: what missing pixels are most likely to be where pixels are jointly normal, by conjugate gradients.

The mean of a Gaussian's missing pixels, given the known ones, solves P_mm u = -P_mk v with P the precision, the inverse
of the covariance (Rue and Held 2005, "Gaussian Markov Random Fields", theorem 2.5). With P the Laplacian it is the
harmonic fill, with its square the biharmonic one.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from jaxtyping import Float

from components.deferred.torch import Tensor, torch

Pixels = Float[Tensor, "batch channels height width"]
Operator = Callable[[Pixels], Pixels]
"""Multiplies whole images by a matrix of pixels by pixels."""

_Any = Float[Tensor, "..."]
_TINY = 1e-30


def conditional_mean(
    start: Pixels,
    missing: Float[Tensor, "batch 1 height width"],
    precision: Operator,
    covariance: Operator,
    sweeps: int,
) -> Pixels:
    """Return `start` with its missing pixels moved towards their mean given the known ones; the others stay.

    Preconditioned conjugate gradients (Hestenes and Stiefel 1952, https://doi.org/10.6028/jres.049.044), each channel
    of each image by itself. Their number is fixed, so that nothing waits for the device, and no image has a say in what
    becomes of another.

    Args:
        start: Known pixels, and a guess of the missing ones, as distances from the mean.
        missing: 1 where missing, else 0.
        precision: Symmetric and not negative.
        covariance: About its inverse: the better, the fewer sweeps are needed.
        sweeps: How often the guess is moved.
    """
    x, residual = start, -missing * precision(start)
    z = missing * covariance(residual)
    direction, power = z, _inner(residual, z)
    for _ in range(sweeps):
        image = missing * precision(direction)
        step = power / _inner(direction, image).clamp_min(_TINY)
        x, residual = x + step * direction, residual - step * image
        z = missing * covariance(residual)
        before, power = power, _inner(residual, z)
        direction = z + power / before.clamp_min(_TINY) * direction
    return x


def _inner(one: Pixels, other: Pixels) -> Float[Tensor, "batch channels 1 1"]:
    return (one * other).sum(dim=(2, 3), keepdim=True)


class Spectral:
    """A matrix that is diagonal among the frequencies of the cosine transform: stationary, mirrored at the edges."""

    def __init__(self, values: Float[Tensor, "height width"]) -> None:
        self._values = values
        self._down, self._across = (cosines(length, values) for length in values.shape)

    def __call__(self, images: Pixels) -> Pixels:
        """Return whole images, multiplied by the matrix."""
        there = self._down @ images @ self._across.T
        return self._down.T @ (self._values * there) @ self._across


def cosines(length: int, like: _Any) -> Float[Tensor, "length length"]:
    """Return the orthonormal cosine transform of Ahmed et al. 1974 (type II) as a matrix, of the type of `like`."""
    frequency = torch.arange(length, device=like.device, dtype=like.dtype)[:, None]
    place = torch.arange(length, device=like.device, dtype=like.dtype)[None] + 0.5
    waves = torch.cos(math.pi / length * frequency * place) * math.sqrt(2 / length)
    return torch.where(frequency == 0, math.sqrt(1 / length), waves)


def laplacian(height: int, width: int, like: _Any) -> Float[Tensor, "height width"]:
    """Return the eigenvalues of the graph Laplacian of neighbouring pixels, by frequency of the cosine transform."""
    down, across = (
        2 - 2 * torch.cos(math.pi / length * torch.arange(length, device=like.device, dtype=like.dtype))
        for length in (height, width)
    )
    return down[:, None] + across[None]
