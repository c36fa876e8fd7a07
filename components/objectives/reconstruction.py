"""Gaussian likelihoods: how well a decoded image explains the true one, in nats."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from functools import partial
from typing import Literal

from jaxtyping import Float
from pydantic import Field

from components.deferred.torch import F, Tensor, torch
from components.distributed import all_reduce_sum, processes
from components.objectives.likelihood import LevelNats, Likelihood, Pictures, Said

LEVEL_WIDTH = 2 / 255
"""Distance of neighbouring 8-bit values once [0, 255] is [-1, 1]."""


class GaussianLikelihood(Likelihood):
    """One width for all pixels, so that a decoder says three numbers of each, from which tanh makes the mean colour."""

    @property
    def numbers(self) -> int:
        """How many numbers a decoder says of each pixel."""
        return 3

    @abstractmethod
    def log_sigma(self, squared_error: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Return log σ of the width that a batch is measured with, given its mean squared error."""

    def picture(self, said: Said) -> Pictures:
        """Return the mean picture."""
        return torch.tanh(said).float()

    def nats(self, said: Said, target: Pictures) -> Float[Tensor, ""]:
        """Return the negative logarithm of the density in [-1, 1], in nats per image."""
        return gaussian_nats(self.picture(said), target, self)

    def bits(self, nats: Float[Tensor, ""], dimensions: int) -> Float[Tensor, ""]:
        """Return `nats` of a density as bits per colour value."""
        return bits_per_dimension(nats, dimensions)

    def of_levels(self, examples: Iterable[tuple[Said, Pictures]]) -> LevelNats:
        """Return `level_nats` of mean pictures by the likeliest width on `examples`, no less than rounding's own.

        Whatever width was trained with, so models are compared by what they decode.
        """
        errors = [(self.picture(said) - image).square().flatten(1).mean(1) for said, image in examples]
        sigma = math.sqrt(max(torch.cat(errors).mean().item(), LEVEL_WIDTH**2 / 12))
        return partial(self._level_nats, sigma=sigma)

    def _level_nats(self, said: Said, target: Pictures, sigma: float) -> Float[Tensor, " batch"]:
        return level_nats(self.picture(said), target, sigma)

    def protocol(self, examples: int) -> dict[str, str | int]:
        """Return how pictures are observed, and how many examples sigma was fitted to."""
        return {
            "observation": "normal around the decoded value, cut into 256 levels with open ends; no dequantisation",
            "sigma": "one for all values, the likeliest on training images",
            "sigma_images": examples,
        }


class FixedSigma(GaussianLikelihood):
    """A Gaussian of chosen width around each decoded pixel."""

    kind: Literal["fixed"] = "fixed"
    sigma: float = Field(default=1.0, gt=0, le=10)
    """Standard deviation in units of the pixel range [-1, 1]; 1 makes the loss half the squared error."""

    def log_sigma(self, squared_error: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Return the logarithm of `sigma`."""
        return torch.full_like(squared_error, math.log(self.sigma))


class CalibratedSigma(GaussianLikelihood):
    """The width that makes the batch most likely, which balances the two halves of the loss without a weight.

    σ² is the mean squared error: Rybkin et al. 2021, https://arxiv.org/abs/2006.13202.
    """

    kind: Literal["calibrated"] = "calibrated"
    least_log_sigma: float = Field(default=-6.0, ge=-20, le=0)
    """Softly approached lower bound of log σ, which keeps the loss finite; -6 is the authors'."""

    def log_sigma(self, squared_error: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Return log σ of the joined batch of all processes, given the mean squared error of this one's.

        No gradient passes: at the best σ the likelihood does not change with it, so the exact gradient is 0.
        """
        joined = all_reduce_sum(squared_error.detach()) / processes()
        best = 0.5 * torch.log(joined.clamp_min(torch.finfo(joined.dtype).tiny))
        return self.least_log_sigma + F.softplus(best - self.least_log_sigma)


def gaussian_nats(
    reconstruction: Float[Tensor, "batch 3 height width"],
    target: Float[Tensor, "batch 3 height width"],
    likelihood: GaussianLikelihood,
) -> Float[Tensor, ""]:
    """Return -log N(target; reconstruction, σ²), summed over pixels and averaged over the batch, in nats per image."""
    squared_error = (reconstruction - target).square().mean()
    log_sigma = likelihood.log_sigma(squared_error)
    per_value = 0.5 * squared_error * torch.exp(-2 * log_sigma) + log_sigma + 0.5 * math.log(2 * math.pi)
    return per_value * target[0].numel()


def level_nats(
    decoded: Float[Tensor, "batch 3 height width"], target: Float[Tensor, "batch 3 height width"], sigma: float
) -> Float[Tensor, " batch"]:
    """Return -log P(target; decoded, σ) of each 8-bit image, in nats, in double precision.

    A level has the mass of the normal around the decoded value that lies nearer to it than to other levels, the
    outermost two have its tails as well, so the 256 probabilities sum to 1 and no noise need be added to the images:
    Ho et al. 2020, section 3.3, https://arxiv.org/abs/2006.11239.

    Args:
        decoded: Means, in [-1, 1].
        target: Images whose values are 8-bit levels, in [-1, 1].
        sigma: Standard deviation in units of the pixel range [-1, 1], above 0.
    """
    distance = (target.double() - decoded.double()).abs()
    half = LEVEL_WIDTH / 2
    nearer, farther = (torch.special.log_ndtr((edge - distance) / sigma) for edge in (half, -half))
    within = nearer + torch.log(-torch.expm1(farther - nearer))
    return -torch.where(target.abs() > 1 - half, nearer, within).sum((1, 2, 3))


def bits_per_dimension(nats: Float[Tensor, ""], dimensions: int) -> Float[Tensor, ""]:
    """Return `nats` per image as bits per colour value of an 8-bit image.

    A density in [-1, 1] becomes the probability of one of 256 levels by the levels' distance, 2/255. That is a bound
    where uniform noise of that width was added to the images (Theis et al. 2016, section 3.1,
    https://arxiv.org/abs/1511.01844), and else an approximation that is good while σ is well above it.

    Args:
        nats: Negative log-likelihood, or its bound, per image.
        dimensions: Colour values per image, 3 · height · width.
    """
    return (nats / dimensions - math.log(LEVEL_WIDTH)) / math.log(2)
