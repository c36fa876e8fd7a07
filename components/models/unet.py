"""A residual U-Net inpainter that works at full size and corrects a first guess; no normalisation."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import Field

from components.deferred.torch import F, Module, Tensor, nn, torch
from components.models.fill import add_and_clamp, known_scale
from components.models.fills import FillConfig, PyramidFillConfig
from components.models.initial import LINEAR_GAIN, RELU_GAIN, initialise
from components.models.network import Inpainter, InpainterSection

_Width = Annotated[int, Field(ge=4, le=512)]
_Blocks = Annotated[int, Field(ge=1, le=16)]


class UnetConfig(InpainterSection):
    """Pre-activation residual blocks (He et al. 2016, https://arxiv.org/abs/1603.05027) at full size and below.

    Halvings and doublings move pixels into channels and back (Shi et al. 2016, https://arxiv.org/abs/1609.05158), skips
    are added. Each block and the whole network start as the identity (Zhang et al. 2019,
    https://arxiv.org/abs/1901.09321), so training begins at the fill and images of a batch never influence each other.
    """

    kind: Literal["unet"] = "unet"
    widths: tuple[_Width, ...] = Field(default=(16, 48, 96), min_length=2, max_length=6)
    """Channels at full size, at half, at a quarter and so on."""
    blocks: tuple[_Blocks, ...] = Field(default=(1, 1, 3), min_length=2, max_length=6)
    """Residual blocks at each size; at all but the smallest as many on the way down as on the way up."""
    fill: FillConfig = PyramidFillConfig()
    """The first guess, which the network corrects."""

    @property
    def stride(self) -> int:
        """Height and width must be multiples of this many pixels."""
        return 1 << (len(self.widths) - 1)

    @property
    def needs_statistics(self) -> bool:
        """Whether the network is told how the training images' pixels go together."""
        return self.fill.needs_statistics

    def check(self, size: int) -> None:
        """Raise ValueError unless `size` is a multiple of the stride and each size has its number of blocks."""
        if len(self.blocks) != len(self.widths):
            raise ValueError(
                f"found widths of {len(self.widths)} sizes and blocks of {len(self.blocks)}, expected as many of both"
            )
        super().check(size)

    def _build(self, size: int) -> "Unet":
        return Unet(self, size)


class Unet(Inpainter):
    """Corrects a fill of the missing pixels, in units of the spread of the known ones."""

    def __init__(self, config: UnetConfig, size: int) -> None:
        super().__init__()
        self.stride = config.stride
        self.fill = config.fill.build(size)
        levels = list(zip(config.widths, config.blocks, strict=True))
        self.enter = nn.Conv2d(4, config.widths[0], 3, padding=1)
        self.descents = nn.ModuleList(_blocks(width, count) for width, count in levels[:-1])
        self.halvings = nn.ModuleList(_halving(fine, coarse) for fine, coarse in pairwise(config.widths))
        self.middle = _blocks(*levels[-1])
        self.doublings = nn.ModuleList(_doubling(coarse, fine) for coarse, fine in pairwise(config.widths[::-1]))
        self.ascents = nn.ModuleList(_blocks(width, count) for width, count in levels[-2::-1])
        self.last = nn.Conv2d(config.widths[0], 3, 3, padding=1)
        for layer in (self.enter, self.halvings, self.doublings):
            initialise(layer, LINEAR_GAIN)  # no activation follows before what they make is added up
        initialise(self.last, 0.0)
        self.correction = torch.zeros(())

    def forward(
        self, corrupted: Float[Tensor, "batch 3 height width"], missing: Float[Tensor, "batch 1 height width"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Return the whole mended image in [-1, 1]; what missing pixels of `corrupted` hold is never read."""
        guess = self.fill(corrupted, missing)
        mean, spread = known_scale(guess, missing)
        x = self.enter(torch.cat([(guess - mean) / spread, missing], dim=1))
        skips: list[Tensor] = []
        for blocks, halve in zip(self.descents, self.halvings, strict=True):
            x = blocks(x)
            skips.append(x)
            x = halve(x)
        x = self.middle(x)
        for double, blocks in zip(self.doublings, self.ascents, strict=True):
            x = blocks(double(x) + skips.pop())
        correction = self.last(F.relu(x)).float()
        if self.training and self.correction is not None:
            self.correction.copy_(correction.detach().std(dim=(0, 2, 3)).mean())
        return add_and_clamp(guess, correction * spread, training=self.training)


class _Block(Module):
    """Twice ReLU and convolution, added to the input; what is added is zero at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        initialise(self.first, RELU_GAIN)
        initialise(self.second, 0.0)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        corrected: Tensor = x + self.second(F.relu(self.first(F.relu(x))))
        return corrected


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(_Block(width) for _ in range(count)))


def _halving(fine: int, coarse: int) -> nn.Sequential:
    return nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * fine, coarse, 1))


def _doubling(coarse: int, fine: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(coarse, 4 * fine, 1), nn.PixelShuffle(2))
