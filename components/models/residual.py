"""Residual blocks with group normalisation, which may be told something about each image, such as its time or class."""

from __future__ import annotations

from jaxtyping import Float

from components.deferred.torch import Module, Tensor, nn
from components.models.initial import LINEAR_GAIN, SILU_GAIN, initialise

_GROUPS = 8


class ResidualBlock(Module):
    """Twice normalisation, SiLU and convolution, added to the input, which a 1 x 1 convolution brings to size.

    What is added is zero at first: Zhang et al. 2019, https://arxiv.org/abs/1901.09321. What is told about an image
    scales and shifts the second normalisation, after Dhariwal and Nichol 2021, section 3,
    https://arxiv.org/abs/2105.05233; at first it does nothing.
    """

    def __init__(self, given: int, made: int, condition: int = 0) -> None:
        """Draw the weights.

        Args:
            given: Channels of the input, a multiple of 8.
            made: Channels of the output, a multiple of 8.
            condition: Numbers that are told about each image; 0 for none.
        """
        super().__init__()
        self.branch = nn.Sequential(
            *normal_activation(given), nn.Conv2d(given, made, 3, padding=1), *normal_activation(made)
        )
        self.correction = nn.Conv2d(made, made, 3, padding=1)
        self.shortcut = nn.Identity() if given == made else nn.Conv2d(given, made, 1)
        self.modulation = nn.Linear(condition, 2 * made) if condition else None
        initialise(self.branch, SILU_GAIN)
        initialise(self.shortcut, LINEAR_GAIN)
        initialise(self.correction, 0.0)
        if self.modulation is not None:
            initialise(self.modulation, 0.0)

    def forward(
        self, x: Float[Tensor, "batch given height width"], condition: Float[Tensor, "batch condition"] | None = None
    ) -> Float[Tensor, "batch made height width"]:
        """Return the input, corrected."""
        *layers, activation = self.branch
        branch = x
        for layer in layers:
            branch = layer(branch)
        if self.modulation is not None:
            scale, shift = self.modulation(condition)[:, :, None, None].chunk(2, dim=1)
            branch = branch * (1 + scale) + shift
        corrected: Tensor = self.shortcut(x) + self.correction(activation(branch))
        return corrected


def residual_blocks(given: int, made: int, count: int, condition: int = 0) -> list[ResidualBlock]:
    """Return `count` blocks, the first of which changes the channels."""
    return [ResidualBlock(made if place else given, made, condition) for place in range(count)]


def normal_activation(channels: int) -> list[nn.Module]:
    """Return group normalisation (Wu and He 2018, https://arxiv.org/abs/1803.08494) and SiLU."""
    return [nn.GroupNorm(_GROUPS, channels), nn.SiLU()]
