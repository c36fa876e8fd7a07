"""A mixture of logistic distributions for each pixel: its colours' 256 levels, one channel told of those before it.

Salimans et al. 2017, sections 2.1 and 2.2, https://arxiv.org/abs/1701.05517.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal, NamedTuple

from jaxtyping import Float
from pydantic import Field

from components.deferred.torch import F, Tensor, torch
from components.objectives.likelihood import LevelNats, Likelihood, Pictures, Said
from components.objectives.reconstruction import LEVEL_WIDTH

_LEAST_LOG_SCALE = -7.0  # the authors'; a level is eight such scales wide
_USUAL_LOG_SCALE = -2.0  # where nothing is said: near what it is before a decoder has learnt where things are
_PER_COMPONENT = 10  # one weight, and three means, scales and coefficients


class LogisticMixture(Likelihood):
    """Probabilities of the 256 levels themselves, by a mixture of logistics that the decoder gives for each pixel.

    One component is drawn for all three channels of a pixel; within it green's mean depends on red, blue's on both.
    """

    kind: Literal["logistic_mixture"] = "logistic_mixture"
    components: int = Field(default=10, ge=1, le=100)
    """Logistics for each pixel; 10 is the authors'. On a CPU few are much faster, and nearly as good."""

    @property
    def numbers(self) -> int:
        """How many numbers a decoder says of each pixel."""
        return _PER_COMPONENT * self.components

    def picture(self, said: Said) -> Pictures:
        """Return the mean picture, but for what the open ends of the levels cut off."""
        pixels = _read(said.float(), self.components)
        red = pixels.means[:, 0]
        green = pixels.means[:, 1] + pixels.coefficients[:, 0] * red
        weights = pixels.log_weights.exp().unsqueeze(1)
        return (weights * _told(pixels, red, green)).sum(2).clamp(-1, 1)

    def nats(self, said: Said, target: Pictures) -> Float[Tensor, ""]:
        """Return -log P of the levels, in nats per image."""
        return self.level_nats(said.float(), target).mean()

    def bits(self, nats: Float[Tensor, ""], dimensions: int) -> Float[Tensor, ""]:
        """Return `nats` of a probability as bits per colour value."""
        return nats / (dimensions * math.log(2))

    def of_levels(self, examples: Iterable[tuple[Said, Pictures]]) -> LevelNats:  # noqa: ARG002 - nothing is left open
        """Return the measure of training, in double precision."""
        return lambda said, target: self.level_nats(said.double(), target.double())

    def protocol(self, examples: int) -> dict[str, str | int]:  # noqa: ARG002 - nothing is fitted to them
        """Return how pictures are observed."""
        return {"observation": "logistic mixture of each pixel, cut into 256 levels with open ends; no dequantisation"}

    def level_nats(self, said: Said, target: Pictures) -> Float[Tensor, " batch"]:
        """Return -log P(target) of each image, whose values are 8-bit levels, in nats."""
        pixels = _read(said, self.components)
        means = _told(pixels, target[:, :1], target[:, 1:2])
        channels = log_mass(means, pixels.log_scales, target.unsqueeze(2)).sum(1)
        return -torch.logsumexp(pixels.log_weights + channels, dim=1).sum((1, 2))


def log_mass(
    mean: Float[Tensor, "*values"], log_scale: Float[Tensor, "*values"], level: Float[Tensor, "*#values"]
) -> Float[Tensor, "*values"]:
    """Return the logarithm of a logistic's mass nearer to a level than to others, the outermost with their tails.

    Of its distribution function σ, a level has σ(p) - σ(m) = σ(p) · σ(-m) · (1 - exp(m - p)) between the edges p and m
    above and below it, and each factor's logarithm is exact however far away the level is.

    Args:
        mean: Of the logistic, in the pixel range [-1, 1].
        log_scale: Natural logarithm of its scale.
        level: One of the 256 levels in [-1, 1].
    """
    half = LEVEL_WIDTH / 2
    precision = torch.exp(-log_scale)
    distance, reach = (level - mean) * precision, half * precision
    lowest, highest = level < half - 1, level > 1 - half
    above = F.softplus(-distance - reach).masked_fill(highest, 0.0)
    below = F.softplus(distance - reach).masked_fill(lowest, 0.0)
    between = torch.log(-torch.expm1(-2 * reach)).masked_fill(lowest | highest, 0.0)
    return between - above - below


class _Pixels(NamedTuple):
    """What is said of each pixel, by component."""

    log_weights: Float[Tensor, "batch components height width"]
    means: Float[Tensor, "batch 3 components height width"]
    """Of red; of green where red is 0; of blue where both are."""
    log_scales: Float[Tensor, "batch 3 components height width"]
    coefficients: Float[Tensor, "batch 3 components height width"]
    """By how much red moves green, red moves blue, and green moves blue."""


def _read(said: Said, components: int) -> _Pixels:
    weights, means, log_scales, coefficients = said.unflatten(1, (_PER_COMPONENT, components)).split([1, 3, 3, 3], 1)
    log_scales = (log_scales + _USUAL_LOG_SCALE).clamp_min(_LEAST_LOG_SCALE)
    return _Pixels(torch.log_softmax(weights.squeeze(1), 1), means, log_scales, torch.tanh(coefficients))


def _told(
    pixels: _Pixels,
    red: Float[Tensor, "batch #components height width"],
    green: Float[Tensor, "batch #components height width"],
) -> Float[Tensor, "batch 3 components height width"]:
    """Return each component's means once the pixel's red and green are known."""
    means, (red_green, red_blue, green_blue) = pixels.means.unbind(1), pixels.coefficients.unbind(1)
    return torch.stack([means[0], means[1] + red_green * red, means[2] + red_blue * red + green_blue * green], dim=1)
