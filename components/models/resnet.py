"""A ResNet-style inpainter: strided halvings, dilated residual blocks at the smallest size, doublings with skips."""

from __future__ import annotations

from itertools import cycle, islice, pairwise
from typing import Literal

from jaxtyping import Float
from pydantic import Field

from components.deferred.torch import Module, Tensor, nn, torch
from components.models.fill import add_and_clamp, pyramid_fill
from components.models.initial import initialise
from components.models.network import Inpainter, InpainterSection

_DILATIONS = (1, 2)


class ResnetConfig(InpainterSection):
    """Works at half size and below only, so it is fast on CPUs; after Johnson et al. 2016.

    https://arxiv.org/abs/1603.08155 has the layout; instead of normalisation each residual block starts as the
    identity (Zhang et al. 2019, https://arxiv.org/abs/1901.09321), so images of a batch never influence each other.
    """

    kind: Literal["resnet"] = "resnet"
    width: int = Field(default=32, ge=4, le=512)
    """Channels at half size; doubled at each further halving."""
    halvings: int = Field(default=2, ge=1, le=4)
    """How often the side is halved before the residual blocks; 3 suits 128 px and more."""
    blocks: int = Field(default=4, ge=1, le=32)
    """Residual blocks at the smallest size; their dilation alternates between 1 and 2 px."""

    @property
    def stride(self) -> int:
        """Height and width must be multiples of this many pixels."""
        return 1 << self.halvings

    def _build(self, size: int) -> "ResnetInpainter":  # noqa: ARG002 - it is the same for all
        return ResnetInpainter(self)


class ResnetInpainter(Inpainter):
    """Corrects a pyramid fill of the missing pixels."""

    def __init__(self, config: ResnetConfig) -> None:
        super().__init__()
        self.stride = config.stride
        widths = [config.width * 2**stage for stage in range(config.halvings)]
        self.downs = nn.ModuleList(
            nn.Sequential(nn.Conv2d(fine, coarse, 4, stride=2, padding=1), nn.ReLU(inplace=True))
            for fine, coarse in pairwise([4, *widths])
        )
        dilations = islice(cycle(_DILATIONS), config.blocks)
        blocks = [_Block(widths[-1], dilation) for dilation in dilations]
        self.blocks = nn.Sequential(*blocks)
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(coarse, fine, 4, stride=2, padding=1) for coarse, fine in pairwise(widths[::-1])
        )
        self.last = nn.ConvTranspose2d(widths[0], 3, 4, stride=2, padding=1)
        initialise(self)
        for block in blocks:
            nn.init.zeros_(block.second.weight)
        nn.init.zeros_(self.last.weight)

    def forward(
        self, corrupted: Float[Tensor, "batch 3 height width"], missing: Float[Tensor, "batch 1 height width"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Return the whole mended image in [-1, 1]; what missing pixels of `corrupted` hold is never read."""
        guess = pyramid_fill(corrupted, missing)
        x = torch.cat([guess, missing], dim=1)
        skips: list[Tensor] = []
        for down in self.downs:
            x = down(x)
            skips.append(x)
        x = self.blocks(skips.pop())
        for up in self.ups:
            x = torch.relu(up(x) + skips.pop())
        return add_and_clamp(guess, self.last(x), training=self.training)


class _Block(Module):
    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        change: Tensor = self.second(torch.relu(self.first(x)))
        return torch.relu(x + change)
