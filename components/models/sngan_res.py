"""The residual networks of spectrally normalised GANs: Miyato et al. 2018, appendix B.4, https://arxiv.org/abs/1802.05957.

Up to 32 px their CIFAR-10 layout, all blocks equally wide; above, their layout for larger images.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from pydantic import Field

from components.deferred.torch import F, Module, Tensor, nn, torch
from components.models.condition import ClassNorm2d, Labels, Projection
from components.models.dcgan import normalise_spectrally
from components.models.doubling import nearest
from components.models.initial import LINEAR_GAIN, RELU_GAIN, initialise
from components.models.network import DiscriminatorSection, GeneratorSection, Judge, doublings

_SMALL_PX = 32


class SnganGeneratorConfig(GeneratorSection):
    """Turns noise into images by residual blocks with batch normalisation, each of which doubles the side."""

    kind: Literal["sngan_res"] = "sngan_res"
    latent: int = Field(default=128, ge=1, le=4096)
    """Numbers of noise per image."""
    width: int = Field(default=256, ge=4, le=1024)
    """Channels up to 32 px, 256 in the paper. For larger images a quarter at full size, doubled at each smaller size,
    to at most 4 times."""

    def channels(self, size: int) -> list[int]:
        """Return the channels at 4, 8, 16 ... `size` px."""
        count = doublings(size) + 1
        if size <= _SMALL_PX:
            return [self.width] * count
        return [min(self.width // 4 << stage, 4 * self.width) for stage in reversed(range(count))]

    def _build(self, size: int, classes: int) -> "SnganGenerator":
        return SnganGenerator(self, size, classes)


class SnganGenerator(Module):
    """Noise to image."""

    def __init__(self, config: SnganGeneratorConfig, size: int, classes: int) -> None:
        super().__init__()
        self.latent = config.latent
        channels = config.channels(size)
        self.first = nn.Sequential(nn.Linear(config.latent, channels[0] * 16), nn.Unflatten(1, (channels[0], 4, 4)))
        blocks = [_UpBlock(coarse, fine, classes) for coarse, fine in pairwise(channels)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = ClassNorm2d(0, channels[-1])
        self.last = nn.Conv2d(channels[-1], 3, 3, padding=1)
        initialise(self, RELU_GAIN)
        for layer in (self.first, self.last, *(block.shortcut for block in blocks)):
            initialise(layer, LINEAR_GAIN)

    def forward(
        self, latent: Float[Tensor, "batch latent"], labels: Labels | None = None
    ) -> Float[Tensor, "batch 3 size size"]:
        """Return images in [-1, 1]; `labels` are the numbers of their classes, for a conditional network."""
        x = self.first(latent)
        for block in self.blocks:
            x = block(x, labels)
        return torch.tanh(self.last(F.relu(self.norm(x, None), inplace=True)))


class SnganDiscriminatorConfig(DiscriminatorSection):
    """Judges whole images by spectrally normalised residual blocks, the sum over all places and one linear layer."""

    kind: Literal["sngan_res"] = "sngan_res"
    width: int = Field(default=128, ge=4, le=1024)
    """Channels up to 32 px, 128 in the paper. For larger images half of it in the first block, doubled in each
    following block, to at most 8 times."""

    def blocks(self, size: int) -> list[tuple[int, bool]]:
        """Return each block's channels, and whether it halves the side."""
        count = doublings(size)
        if size <= _SMALL_PX:
            return [(self.width, True), (self.width, True), (self.width, False), (self.width, False)]
        widths = [min(self.width // 2 << stage, 8 * self.width) for stage in range(count + 1)]
        return [(width, stage < count) for stage, width in enumerate(widths)]

    def _build(self, size: int, classes: int) -> "SnganDiscriminator":
        return SnganDiscriminator(self, size, classes)


class SnganDiscriminator(Judge):
    """Image to one logit: above zero means real."""

    def __init__(self, config: SnganDiscriminatorConfig, size: int, classes: int) -> None:
        super().__init__()
        (first, halves), *rest = config.blocks(size)
        blocks: list[_DownBlock] = [_FirstBlock(3, first, halves=halves)]
        given = first
        for channels, halves in rest:
            blocks.append(_DownBlock(given, channels, halves=halves))
            given = channels
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Linear(given, 1)
        self.projection = Projection(classes, given)
        initialise(self, RELU_GAIN)
        for layer in (self.last, *(block.shortcut for block in blocks)):
            initialise(layer, LINEAR_GAIN)
        normalise_spectrally(self)

    def forward(
        self, image: Float[Tensor, "batch 3 size size"], labels: Labels | None = None
    ) -> Float[Tensor, " batch"]:
        """Return one logit per image in [-1, 1]; `labels` are the numbers of their classes, if conditional."""
        features = F.relu(self.blocks(image)).float().sum((2, 3))
        logits: Tensor = self.projection(self.last(features).squeeze(1), features, labels)
        return logits

    def layers(self) -> list[nn.Module]:
        """Return the residual blocks, from the image on."""
        return list(self.blocks)


class _UpBlock(Module):
    def __init__(self, coarse: int, fine: int, classes: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([ClassNorm2d(classes, coarse), ClassNorm2d(classes, fine)])
        # Without biases: what they add to a channel, the next normalisation on either way takes away again.
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(given, fine, 3, padding=1, bias=False) for given in (coarse, fine)]
        )
        self.shortcut = nn.Conv2d(coarse, fine, 1, bias=False)

    def forward(
        self, x: Float[Tensor, "batch coarse height width"], labels: Labels | None
    ) -> Float[Tensor, "batch fine 2*height 2*width"]:
        branch = nearest(F.relu(self.norms[0](x, labels), inplace=True))  # batch coarse 2*height 2*width
        branch = self.convolutions[0](branch)
        branch = self.convolutions[1](F.relu(self.norms[1](branch, labels), inplace=True))
        # A 1 x 1 convolution and the repetition of pixels may change places, and this order costs a quarter.
        total: Tensor = branch + nearest(self.shortcut(x))
        return total


class _DownBlock(Module):
    def __init__(self, given: int, wanted: int, *, halves: bool) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList([_convolution(given, wanted), _convolution(wanted, wanted)])
        is_plain = given == wanted and not halves
        self.shortcut = nn.Identity() if is_plain else nn.Conv2d(given, wanted, 1)
        self.halves = halves

    def forward(
        self, x: Float[Tensor, "batch given height width"]
    ) -> Float[Tensor, "batch wanted out_height out_width"]:
        branch = self.convolutions[0](self.activated(x))
        branch = self.convolutions[1](F.relu(branch, inplace=True))
        # Means of 2 x 2 pixels and 1 x 1 convolutions may change places, too.
        total: Tensor = self._shrunk(branch) + self.shortcut(self._shrunk(x))
        return total

    def activated(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        return F.relu(x)

    def _shrunk(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels out_height out_width"]:
        return F.avg_pool2d(x, 2) if self.halves else x


class _FirstBlock(_DownBlock):
    """The first block sees pixels, which are not to be cut off at zero."""

    def activated(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        return x


def _convolution(given: int, wanted: int) -> nn.Conv2d:
    return nn.Conv2d(given, wanted, 3, padding=1)
