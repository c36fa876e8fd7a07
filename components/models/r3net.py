"""The networks of R3GAN, Huang et al. 2024, https://arxiv.org/abs/2501.05441: residual, without normalisation."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import ClassVar, Literal

from jaxtyping import Float
from pydantic import Field

from components.deferred.torch import F, Module, Tensor, nn, torch
from components.models.condition import ClassCode, Labels, Projection
from components.models.doubling import bilinear
from components.models.initial import LEAKY_GAIN, LEAKY_SLOPE, LINEAR_GAIN, initialise
from components.models.network import DiscriminatorSection, GeneratorSection, Judge, doublings

_EXPANSION = 2
_GROUP_CHANNELS = 16
_BRANCH_LAYERS = 3
_WIDE_UP_TO_PX = 32


def stage_channels(width: int, size: int) -> list[int]:
    """Return the channels at 4, 8, 16 ... `size` px: `width` up to 32 px, then halved at each doubling, at least 4."""
    sizes = [4 << stage for stage in range(doublings(size) + 1)]
    return [max(4, width * _WIDE_UP_TO_PX // max(side, _WIDE_UP_TO_PX)) for side in sizes]


class R3GeneratorConfig(GeneratorSection):
    """Turns noise into images by residual blocks, between which bilinear interpolation doubles the side."""

    kind: Literal["r3net"] = "r3net"
    channels_last_on_gpu: ClassVar[bool] = False  # grouped convolutions: 1,209 ms a step, 1,011 contiguous (H200)
    latent: int = Field(default=64, ge=1, le=4096)
    """Numbers of noise per image."""
    width: int = Field(default=256, ge=4, le=4096)
    """Channels at 32 px and below; halved at each doubling above. 768 in the paper, at 32 and 64 px."""
    blocks: int = Field(default=2, ge=1, le=16)
    """Residual blocks at each size; 2 in the paper."""

    def _build(self, size: int, classes: int) -> "R3Generator":
        return R3Generator(self, size, classes)


class R3Generator(Module):
    """Noise to image."""

    def __init__(self, config: R3GeneratorConfig, size: int, classes: int) -> None:
        super().__init__()
        self.latent = config.latent
        channels = stage_channels(config.width, size)
        self.code = ClassCode(classes)
        self.basis = nn.Parameter(torch.empty(channels[0], 4, 4))
        self.strengths = nn.Linear(config.latent + self.code.features, channels[0])
        stages: list[nn.Module] = [_blocks(channels[0], config.blocks)]
        for coarse, fine in pairwise(channels):
            stages += [_Doubling(coarse, fine), _blocks(fine, config.blocks)]
        self.stages = nn.Sequential(*stages)
        self.last = nn.Conv2d(channels[-1], 3, 1)
        nn.init.normal_(self.basis)
        initialise(self, LINEAR_GAIN)
        _start_as_identity(self)

    def forward(
        self, latent: Float[Tensor, "batch latent"], labels: Labels | None = None
    ) -> Float[Tensor, "batch 3 size size"]:
        """Return images in [-1, 1]; `labels` are the numbers of their classes, for a conditional network.

        The paper's images are not limited; here tanh limits them, which near grey is the same.
        """
        coarsest = self.basis * self.strengths(self.code(latent, labels))[:, :, None, None]  # batch channels 4 4
        return torch.tanh(self.last(self.stages(coarsest)))


class R3DiscriminatorConfig(DiscriminatorSection):
    """Judges whole images by residual blocks, between which the side is halved, and one linear layer."""

    kind: Literal["r3net"] = "r3net"
    channels_last_on_gpu: ClassVar[bool] = False  # grouped convolutions: 1,209 ms a step, 1,011 contiguous (H200)
    width: int = Field(default=256, ge=4, le=4096)
    """Channels at 32 px and below; halved at each doubling above. 768 in the paper, at 32 and 64 px."""
    blocks: int = Field(default=2, ge=1, le=16)
    """Residual blocks at each size; 2 in the paper."""

    def _build(self, size: int, classes: int) -> "R3Discriminator":
        return R3Discriminator(self, size, classes)


class R3Discriminator(Judge):
    """Image to one logit: above zero means real."""

    def __init__(self, config: R3DiscriminatorConfig, size: int, classes: int) -> None:
        super().__init__()
        channels = stage_channels(config.width, size)[::-1]
        self.first = nn.Conv2d(3, channels[0], 1)
        stages: list[nn.Module] = []
        for fine, coarse in pairwise(channels):
            stages += [_blocks(fine, config.blocks), _Halving(fine, coarse)]
        stages.append(_blocks(channels[-1], config.blocks))
        self.stages = nn.Sequential(*stages)
        self.basis = nn.Conv2d(channels[-1], channels[-1], 4, groups=channels[-1], bias=False)
        self.last = nn.Linear(channels[-1], 1)
        self.projection = Projection(classes, channels[-1])
        initialise(self, LINEAR_GAIN)
        _start_as_identity(self)

    def forward(
        self, image: Float[Tensor, "batch 3 size size"], labels: Labels | None = None
    ) -> Float[Tensor, " batch"]:
        """Return one logit per image in [-1, 1]; `labels` are the numbers of their classes, if conditional."""
        features = self.basis(self.stages(self.first(image))).flatten(1)  # batch channels
        logits: Tensor = self.projection(self.last(features).squeeze(1), features, labels)
        return logits

    def layers(self) -> list[nn.Module]:
        """Return what widens the image, then in turn the blocks of a size and what halves it, from the image on."""
        return [self.first, *self.stages]


class _Block(Module):
    """x + a branch that widens it, looks around in groups of channels, and narrows it again: section 3 of the paper."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = _EXPANSION * channels
        groups = wide // math.gcd(wide, _GROUP_CHANNELS)
        self.widen = nn.Conv2d(channels, wide, 1)
        self.look = nn.Conv2d(wide, wide, 3, padding=1, groups=groups)
        self.narrow = nn.Conv2d(wide, channels, 1, bias=False)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        branch = F.leaky_relu(self.widen(x), LEAKY_SLOPE, inplace=True)  # batch 2*channels height width
        branch = F.leaky_relu(self.look(branch), LEAKY_SLOPE, inplace=True)
        narrowed: Tensor = self.narrow(branch)
        return x + narrowed


class _Doubling(Module):
    """Bilinear interpolation to twice the side; a 1 x 1 convolution first where the channels change."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.mix = _mix(coarse, fine)

    def forward(self, x: Float[Tensor, "batch coarse height width"]) -> Float[Tensor, "batch fine 2*height 2*width"]:
        return bilinear(self.mix(x))


class _Halving(Module):
    """Bilinear interpolation to half the side, which is the mean of 2 x 2 pixels; then the channels change."""

    def __init__(self, fine: int, coarse: int) -> None:
        super().__init__()
        self.mix = _mix(fine, coarse)

    def forward(self, x: Float[Tensor, "batch fine height width"]) -> Float[Tensor, "batch coarse height//2 width//2"]:
        mixed: Tensor = self.mix(F.avg_pool2d(x, 2))
        return mixed


def _mix(given: int, wanted: int) -> nn.Module:
    return nn.Identity() if given == wanted else nn.Conv2d(given, wanted, 1, bias=False)


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*[_Block(channels) for _ in range(count)])


def _start_as_identity(network: nn.Module) -> None:
    """Draw each branch's weights so that the network neither explodes nor stands still without normalisation.

    Zhang et al. 2019 (Fixup), section 3, https://arxiv.org/abs/1901.09321: the last layer of each branch starts at 0,
    the m - 1 others at He et al.'s size times L^(-1 / (2m - 2)) for L branches of m layers.
    """
    blocks = [module for module in network.modules() if isinstance(module, _Block)]
    gain = LEAKY_GAIN * len(blocks) ** (-1 / (2 * _BRANCH_LAYERS - 2))
    for block in blocks:
        initialise(block, gain)
        nn.init.zeros_(block.narrow.weight)
