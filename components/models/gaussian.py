"""Gaussian: the fill of who knows how the training images' pixels go together, but no more of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Float32

from components.data.statistics import MOST_EXACT_PX
from components.deferred.torch import Tensor, nn, torch
from components.models.fill import Fill, pyramid_fill
from components.models.stationary import Spectral, conditional_mean

_SWEEPS, _EXACT_SWEEPS = 30, 60
"""Conjugate gradients, after which CIFAR-10's images are 0.002 from their limit (root mean square, in [-1, 1])."""


class GaussianFill(Fill):
    """The mean of missing pixels given the known ones, under a Gaussian like that of the training images.

    Of images of the training's size up to 32 px the covariance is that of each pixel with each, and on a CPU the
    solution is exact. Of all others it is taken to be the same everywhere, diagonal among the frequencies of a cosine
    transform, whose variance is read off by frequency.
    """

    mean: Tensor
    spectrum: Tensor
    precision: Tensor | None
    """The inverse of the covariance; None where images are larger."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("spectrum", torch.ones(size, size))
        self.register_buffer("precision", torch.eye(size**2) if size <= MOST_EXACT_PX else None)

    def know(self, statistics: Mapping[str, Float32[np.ndarray, "..."]]) -> None:
        """Take over the arrays of `PixelStatistics`.

        Raises:
            ValueError: They are of images of another size.
        """
        found = statistics["spectrum"].shape[0]
        if found != self.size:
            raise ValueError(f"found statistics of images of {found} px, expected of {self.size} px")
        for name, values in statistics.items():
            getattr(self, name).copy_(torch.from_numpy(values))

    def _filled(
        self, image: Float[Tensor, "batch 3 height width"], missing: Float[Tensor, "batch 1 height width"]
    ) -> Float[Tensor, "batch 3 height width"]:
        centred = image - self.mean
        exact = self.precision if image.shape[-2:] == (self.size, self.size) else None
        if exact is not None and image.device.type == "cpu" and not torch.compiler.is_compiling():
            return solved(centred, missing > 0, exact) + self.mean
        variance = self._variance(*image.shape[-2:])
        precision = Spectral(1 / variance) if exact is None else partial(_multiplied, exact)
        sweeps = _SWEEPS if exact is None else _EXACT_SWEEPS
        start = pyramid_fill(centred, missing)
        return conditional_mean(start, missing, precision, Spectral(variance), sweeps) + self.mean

    def _variance(self, height: int, width: int) -> Float[Tensor, "height width"]:
        """Return the variance of each frequency of images of any size: geometrically between those that are known."""
        down, across = (_between(length, self.spectrum) for length in (height, width))
        return (down @ self.spectrum.log() @ across.T).exp()


def tell(network: nn.Module, statistics: Mapping[str, Float32[np.ndarray, "..."]]) -> None:
    """Tell all Gaussian fills in a network the arrays of `PixelStatistics`.

    Raises:
        ValueError: They are of images of another size.
    """
    for module in network.modules():
        if isinstance(module, GaussianFill):
            module.know(statistics)


def solved(
    image: Float[Tensor, "batch 3 height width"],
    missing: Bool[Tensor, "batch 1 height width"],
    precision: Float[Tensor, "pixels pixels"],
) -> Float[Tensor, "batch 3 height width"]:
    """Return what `conditional_mean` tends to, by Cholesky's decomposition for each image: faster on a CPU.

    Args:
        image: Distances from the mean; what missing pixels hold is not read.
        missing: Where they are to be found.
        precision: Inverse of the covariance of pixels, row by row.
    """
    known = torch.where(missing, 0.0, image).flatten(2)  # batch 3 pixels
    right = known @ precision
    flat = precision.flatten()  # of which parts are taken in a tenth of the time that rows and columns take
    for values, wanted, hole in zip(known, right, missing.flatten(1), strict=True):
        places = hole.nonzero().squeeze(1)
        among = flat.index_select(0, (places[:, None] * len(precision) + places).flatten()).view(
            len(places), len(places)
        )
        factor, _ = torch.linalg.cholesky_ex(among)
        values[:, places] = -torch.cholesky_solve(wanted[:, places].T, factor).T
    result: Tensor = known.unflatten(2, image.shape[2:])
    return result


def _multiplied(
    matrix: Float[Tensor, "pixels pixels"], images: Float[Tensor, "batch 3 height width"]
) -> Float[Tensor, "batch 3 height width"]:
    multiplied: Tensor = (images.flatten(2) @ matrix).unflatten(2, images.shape[2:])
    return multiplied


def _between(length: int, spectrum: Float[Tensor, "size size"]) -> Float[Tensor, "length size"]:
    """Return weights of linear interpolation, among known ones, at the frequencies of `length` px in cycles a pixel."""
    size = spectrum.shape[0]
    own = torch.arange(size, device=spectrum.device, dtype=spectrum.dtype)
    place = torch.arange(length, device=spectrum.device, dtype=spectrum.dtype) * (size / length)
    return (1 - (place.clamp(max=size - 1)[:, None] - own).abs()).clamp_min(0)
