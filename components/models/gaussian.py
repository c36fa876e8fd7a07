"""Gaussian: the fill of who knows how the training images' pixels go together, but no more of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Float32

from components.data.statistics import MOST_EXACT_PX
from components.deferred.torch import Tensor, nn, torch
from components.models.fill import Fill, known_scale, pyramid_fill
from components.models.stationary import Operator, Spectral, conditional_mean

_EXACT_SWEEPS, _OWN_SWEEPS, _OTHER_SWEEPS = 60, 30, 10
"""Conjugate gradients for the whole covariance, for the spectrum, and for a power law, which needs fewest: images of
CIFAR-10 then have the hole PSNR of the limit to 0.02, 0.01 and 0.1 dB."""
_WIDEST = 1e5
"""Largest ratio of variances for which float32 has room."""


class GaussianFill(Fill):
    """The mean of missing pixels given the known ones, under a Gaussian like that of the training images.

    Of images of the training's size up to 32 px the covariance is that of each pixel with each, and on a CPU the
    solution is exact; of larger ones it is diagonal among the frequencies of a cosine transform. Both know where in the
    image a pixel is, which says nothing of images of other sizes: there the covariance is that of the power law nearest
    to the spectrum (Ruderman 1994, https://doi.org/10.1088/0954-898X_5_4_006), around the mean of the known pixels.
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
        if image.shape[-2:] != (self.size, self.size):
            mean, _ = known_scale(image, missing)
            variance = self._power_law(*image.shape[-2:])
            return _swept(image - mean, missing, Spectral(1 / variance), variance, _OTHER_SWEEPS) + mean
        centred = image - self.mean
        if self.precision is None:
            filled = _swept(centred, missing, Spectral(1 / self.spectrum), self.spectrum, _OWN_SWEEPS)
        elif image.device.type == "cpu" and not torch.compiler.is_compiling():
            filled = solved(centred, missing > 0, self.precision)
        else:
            filled = _swept(centred, missing, partial(_multiplied, self.precision), self.spectrum, _EXACT_SWEEPS)
        return filled + self.mean

    def _power_law(self, height: int, width: int) -> Float[Tensor, "height width"]:
        """Return a variance of each frequency of images of any size that falls with a power of the frequency.

        It is fitted to the logarithms of the spectrum by least squares, where all rings of frequencies weigh alike.
        The mean, whose frequency is 0, counts as one of half the lowest.
        """
        known = _radii(self.size, self.size, self.spectrum).flatten()[1:]
        x, y, weight = known.log(), self.spectrum.flatten()[1:].log(), 1 / (known * (1 / known).sum())
        x_mean, y_mean = (weight * x).sum(), (weight * y).sum()
        slope = (weight * (x - x_mean) * (y - y_mean)).sum() / (weight * (x - x_mean).square()).sum()
        radii = _radii(height, width, self.spectrum)
        law = (y_mean + slope * (radii.clamp_min(0.5 / max(height, width)).log() - x_mean)).exp()
        return law.clamp(max=_WIDEST * law.min())


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


def _radii(height: int, width: int, like: Float[Tensor, "..."]) -> Float[Tensor, "height width"]:
    """Return the frequencies of the cosine transform, in half cycles a pixel."""
    down, across = (torch.arange(side, device=like.device, dtype=like.dtype) / side for side in (height, width))
    return torch.hypot(down[:, None], across[None])


def _swept(
    image: Float[Tensor, "batch 3 height width"],
    missing: Float[Tensor, "batch 1 height width"],
    precision: Operator,
    variance: Float[Tensor, "height width"],
    sweeps: int,
) -> Float[Tensor, "batch 3 height width"]:
    return conditional_mean(pyramid_fill(image, missing), missing, precision, Spectral(variance), sweeps)
