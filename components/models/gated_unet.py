"""A gated U-Net inpainter: two halvings, dilations in the middle, concatenated skips."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from pydantic import Field

from components.deferred.torch import F, Module, Tensor, nn, torch
from components.models.doubling import nearest
from components.models.fill import add_and_clamp, pyramid_fill
from components.models.initial import GATED_GAIN, initialise
from components.models.network import Inpainter, InpainterSection


class GatedUnetConfig(InpainterSection):
    """Gated convolutions of Yu et al. 2019, https://arxiv.org/abs/1806.03589, in a U-Net.

    Every layer learns where to look at which pixels, so it minds the mask's shape; slower than `resnet` of the same
    number of parameters because it works at full size too.
    """

    kind: Literal["gated_unet"] = "gated_unet"
    width: int = Field(default=16, ge=4, le=512)
    """Channels at full size; doubled at each of the two halvings."""
    dilations: tuple[int, ...] = Field(default=(2, 4), max_length=16)
    """Dilation of each layer in the middle, in pixels of a quarter of the size."""

    @property
    def stride(self) -> int:
        """Height and width must be multiples of this many pixels."""
        return GatedUnet.stride

    def check(self, size: int) -> None:
        """Raise ValueError unless `size` is a multiple of 4 px and every dilation 1 px or more."""
        if min(self.dilations, default=1) < 1:
            raise ValueError(f"found dilations {self.dilations}, expected each to be 1 px or more")
        super().check(size)

    def _build(self, size: int) -> "GatedUnet":  # noqa: ARG002 - it is the same for all
        return GatedUnet(self)


class GatedUnet(Inpainter):
    """Corrects a pyramid fill of the missing pixels."""

    stride = 4

    def __init__(self, config: GatedUnetConfig) -> None:
        super().__init__()
        full, half, quarter = config.width, 2 * config.width, 4 * config.width
        self.enter = GatedConv2d(4, full)
        self.to_half = nn.Sequential(GatedConv2d(full, half, stride=2), GatedConv2d(half, half))
        self.to_quarter = nn.Sequential(GatedConv2d(half, quarter, stride=2), GatedConv2d(quarter, quarter))
        self.middle = nn.Sequential(*(GatedConv2d(quarter, quarter, dilation=step) for step in config.dilations))
        self.at_half = GatedConv2d(quarter + half, half)
        self.at_full = GatedConv2d(half + full, full)
        self.last = nn.Conv2d(full, 3, 3, padding=1)
        initialise(self, GATED_GAIN)
        nn.init.zeros_(self.last.weight)

    def forward(
        self, corrupted: Float[Tensor, "batch 3 height width"], missing: Float[Tensor, "batch 1 height width"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Return the whole mended image in [-1, 1]; what missing pixels of `corrupted` hold is never read."""
        guess = pyramid_fill(corrupted, missing)
        full = self.enter(torch.cat([guess, missing], dim=1))  # batch width height width
        half = self.to_half(full)  # batch 2*width height/2 width/2
        x = self.middle(self.to_quarter(half))  # batch 4*width height/4 width/4
        x = self.at_half(torch.cat([nearest(x), half], dim=1))
        x = self.at_full(torch.cat([nearest(x), full], dim=1))
        return add_and_clamp(guess, self.last(x), training=self.training)


class GatedConv2d(Module):
    """ELU(features) · sigmoid(gate), both from one convolution of the input; keeps the size at stride 1."""

    def __init__(self, channels: int, out_channels: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.both = nn.Conv2d(channels, 2 * out_channels, 3, stride=stride, padding=dilation, dilation=dilation)

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch out_channels out_height out_width"]:
        """Return the gated features."""
        features, gate = self.both(x).chunk(2, dim=1)
        return F.elu(features) * torch.sigmoid(gate)
