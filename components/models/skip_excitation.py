"""Light networks for few steps: up-blocks with skip-layer excitation, Liu et al. 2021, https://arxiv.org/abs/2101.04775.

Theirs are for 256 px and more; here are the parts that small images have a use for, at small width.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from pydantic import Field

from components.deferred.torch import F, Module, Tensor, nn, torch
from components.models.condition import ClassCode, ClassNorm2d, Labels, Projection
from components.models.dcgan import pyramid
from components.models.doubling import nearest
from components.models.initial import LEAKY_GAIN, LEAKY_SLOPE, LINEAR_GAIN, RELU_GAIN, initialise
from components.models.network import DiscriminatorSection, GeneratorSection, Judge, doublings

_SKIPPED = 2  # doublings between what excites and what is excited


class SkipExcitationGeneratorConfig(GeneratorSection):
    """Turns noise into images by a transposed convolution per doubling; coarse features scale fine ones."""

    kind: Literal["skip_excitation"] = "skip_excitation"
    latent: int = Field(default=128, ge=1, le=4096)
    """Numbers of noise per image."""
    width: int = Field(default=32, ge=4, le=1024)
    """Channels at full size; doubled at each smaller size, to at most 8 times."""

    def _build(self, size: int, classes: int) -> "SkipExcitationGenerator":
        return SkipExcitationGenerator(self, size, classes)


class SkipExcitationGenerator(Module):
    """Noise to image."""

    def __init__(self, config: SkipExcitationGeneratorConfig, size: int, classes: int) -> None:
        super().__init__()
        self.latent = config.latent
        channels = pyramid(config.width, doublings(size) + 1)[::-1]
        self.code = ClassCode(classes)
        self.first = nn.Sequential(
            nn.Linear(config.latent + self.code.features, channels[0] * 16), nn.Unflatten(1, (channels[0], 4, 4))
        )
        blocks = [_UpBlock(coarse, fine, classes) for coarse, fine in pairwise(channels)]
        self.blocks = nn.ModuleList(blocks)
        pairs = zip(channels, channels[_SKIPPED:], strict=False)
        self.excitations = nn.ModuleList([_Excitation(coarse, fine) for coarse, fine in pairs])
        self.norm = ClassNorm2d(0, channels[-1])
        self.last = nn.Conv2d(channels[-1], 3, 3, padding=1)
        initialise(self, RELU_GAIN)
        for layer in (self.first, self.last, *(block.shortcut for block in blocks)):
            initialise(layer, LINEAR_GAIN)

    def forward(
        self, latent: Float[Tensor, "batch latent"], labels: Labels | None = None
    ) -> Float[Tensor, "batch 3 size size"]:
        """Return images in [-1, 1]; `labels` are the numbers of their classes, for a conditional network."""
        scales = [self.first(self.code(latent, labels))]  # features at 4, 8, 16 ... px
        for number, block in enumerate(self.blocks, start=1):
            x = block(scales[-1], labels)
            if number >= _SKIPPED:
                x = self.excitations[number - _SKIPPED](scales[number - _SKIPPED], x)
            scales.append(x)
        return torch.tanh(self.last(F.relu(self.norm(scales[-1], None), inplace=True)))


class SkipExcitationDiscriminatorConfig(DiscriminatorSection):
    """Judges whole images by halvings that each add two ways, of two convolutions and of a mean: section 3.2."""

    kind: Literal["skip_excitation"] = "skip_excitation"
    width: int = Field(default=32, ge=4, le=1024)
    """Channels after the first halving; doubled at each further one, to at most 8 times."""

    def _build(self, size: int, classes: int) -> "SkipExcitationDiscriminator":
        return SkipExcitationDiscriminator(self, size, classes)


class SkipExcitationDiscriminator(Judge):
    """Image to one logit: above zero means real."""

    def __init__(self, config: SkipExcitationDiscriminatorConfig, size: int, classes: int) -> None:
        super().__init__()
        channels = pyramid(config.width, doublings(size))
        self.first = nn.Conv2d(3, channels[0], 4, stride=2, padding=1)
        self.blocks = nn.Sequential(*[_DownBlock(fine, coarse) for fine, coarse in pairwise(channels)])
        self.last = nn.Linear(channels[-1] * 16, 1)
        self.projection = Projection(classes, channels[-1] * 16)
        initialise(self, LEAKY_GAIN)
        initialise(self.last, LINEAR_GAIN)

    def forward(
        self, image: Float[Tensor, "batch 3 size size"], labels: Labels | None = None
    ) -> Float[Tensor, " batch"]:
        """Return one logit per image in [-1, 1]; `labels` are the numbers of their classes, if conditional."""
        features = self.blocks(_leaky(self.first(image))).flatten(1)
        logits: Tensor = self.projection(self.last(features).squeeze(1), features, labels)
        return logits

    def layers(self) -> list[nn.Module]:
        """Return the first convolution, then each block that halves the side."""
        return [self.first, *self.blocks]


class _UpBlock(Module):
    """Twice the side: normalised and cut off while it is small, then one transposed convolution; a 1 x 1 one beside it.

    Less than half of the multiply-adds of a convolution of the doubled features, which the paper has.
    """

    def __init__(self, coarse: int, fine: int, classes: int) -> None:
        super().__init__()
        self.norm = ClassNorm2d(classes, coarse)
        self.convolution = nn.ConvTranspose2d(coarse, fine, 4, stride=2, padding=1, bias=False)
        self.shortcut = nn.Conv2d(coarse, fine, 1, bias=False)

    def forward(
        self, x: Float[Tensor, "batch coarse height width"], labels: Labels | None
    ) -> Float[Tensor, "batch fine 2*height 2*width"]:
        branch = self.convolution(F.relu(self.norm(x, labels), inplace=True))
        total: Tensor = branch + nearest(self.shortcut(x))
        return total


class _Excitation(Module):
    """Scales each channel of fine features by what coarse ones say: equation 2 of the paper."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.Conv2d(coarse, fine, 4), nn.SiLU(inplace=True), nn.Conv2d(fine, fine, 1))

    def forward(
        self, coarse: Float[Tensor, "batch coarse small small"], fine: Float[Tensor, "batch fine height width"]
    ) -> Float[Tensor, "batch fine height width"]:
        gates: Tensor = self.gate(F.avg_pool2d(coarse, coarse.shape[-1] // 4))  # batch fine 1 1
        return fine * torch.sigmoid(gates)


class _DownBlock(Module):
    """Half the side: a strided and a plain convolution beside the mean of 2 x 2 pixels, and half of both together."""

    def __init__(self, fine: int, coarse: int) -> None:
        super().__init__()
        self.halve = nn.Conv2d(fine, coarse, 4, stride=2, padding=1)
        self.look = nn.Conv2d(coarse, coarse, 3, padding=1)
        self.shortcut = nn.Conv2d(fine, coarse, 1)

    def forward(self, x: Float[Tensor, "batch fine height width"]) -> Float[Tensor, "batch coarse height//2 width//2"]:
        branch = _leaky(self.look(_leaky(self.halve(x))))
        total: Tensor = (branch + _leaky(self.shortcut(F.avg_pool2d(x, 2)))) / 2
        return total


def _leaky(x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
    return F.leaky_relu(x, LEAKY_SLOPE, inplace=True)
