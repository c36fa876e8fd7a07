"""The DCGAN generator and discriminator of Radford et al. 2016, https://arxiv.org/abs/1511.06434, at any size 4·2^k."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from pydantic import Field

from components.deferred.torch import Module, Tensor, nn, torch
from components.models.condition import ClassCode, Labels, Projection
from components.models.initial import LEAKY_GAIN, LEAKY_SLOPE, LINEAR_GAIN, initialise
from components.models.network import DiscriminatorSection, GeneratorSection, Judge, doublings
from components.models.norm import BatchNorm2d

_LARGEST_FACTOR = 8


def pyramid(width: int, count: int) -> list[int]:
    """Return `count` channel numbers, finest stage first: width, 2 width, 4 width ... at most 8 width."""
    return [width * min(2**stage, _LARGEST_FACTOR) for stage in range(count)]


class DcganGeneratorConfig(GeneratorSection):
    """Turns noise into images by transposed convolutions, each of which doubles the side."""

    kind: Literal["dcgan"] = "dcgan"
    latent: int = Field(default=128, ge=1, le=4096)
    """Numbers of noise per image."""
    width: int = Field(default=64, ge=4, le=1024)
    """Channels at full size; doubled at each smaller size, to at most 8 times."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Fraction of activations dropped after each doubling while training. Each process drops its own."""
    normalisation: Literal["batch", "none"] = "batch"
    """What follows each layer but the last."""

    def _build(self, size: int, classes: int) -> "DcganGenerator":
        return DcganGenerator(self, size, classes)


class DcganGenerator(Module):
    """Noise to image."""

    def __init__(self, config: DcganGeneratorConfig, size: int, classes: int) -> None:
        super().__init__()
        self.latent = config.latent
        channels = pyramid(config.width, doublings(size) + 1)[::-1]
        has_norm = config.normalisation == "batch"
        self.code = ClassCode(classes)
        self.first = nn.Sequential(
            nn.Linear(config.latent + self.code.features, channels[0] * 16, bias=not has_norm),
            nn.Unflatten(1, (channels[0], 4, 4)),
            *_finish(channels[0], has_norm),
        )
        stages: list[nn.Module] = []
        for coarse, fine in pairwise(channels):
            stages.append(nn.ConvTranspose2d(coarse, fine, 4, stride=2, padding=1, bias=not has_norm))
            stages += _finish(fine, has_norm)
            if config.dropout:
                stages.append(nn.Dropout(config.dropout))
        self.stages = nn.Sequential(*stages)
        self.last = nn.Conv2d(channels[-1], 3, 3, padding=1)
        initialise(self)
        initialise(self.last, LINEAR_GAIN)

    def forward(
        self, latent: Float[Tensor, "batch latent"], labels: Labels | None = None
    ) -> Float[Tensor, "batch 3 size size"]:
        """Return images in [-1, 1]; `labels` are the numbers of their classes, for a conditional network."""
        return torch.tanh(self.last(self.stages(self.first(self.code(latent, labels)))))


class DcganDiscriminatorConfig(DiscriminatorSection):
    """Judges whole images by strided convolutions down to 4 x 4 and one linear layer."""

    kind: Literal["dcgan"] = "dcgan"
    width: int = Field(default=64, ge=4, le=1024)
    """Channels of the first layer; doubled at each halving, to at most 8 times."""
    activation: Literal["leaky_relu", "prelu"] = "leaky_relu"
    """LeakyReLU of slope 0.2, or PReLU that learns a slope per channel from 0.2."""
    normalisation: Literal["none", "batch", "spectral"] = "none"
    """Batch normalisation makes an image's score depend on its neighbours, so gradient penalties lose their meaning.
    Spectral: Miyato et al. 2018, https://arxiv.org/abs/1802.05957."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Fraction of activations dropped after each halving while training. Each process drops its own."""

    @property
    def mixes_samples(self) -> bool:
        """Whether an image's logit depends on the rest of its batch."""
        return self.normalisation == "batch"

    def _build(self, size: int, classes: int) -> "DcganDiscriminator":
        return DcganDiscriminator(self, size, classes)


class DcganDiscriminator(Judge):
    """Image to one logit: above zero means real."""

    def __init__(self, config: DcganDiscriminatorConfig, size: int, classes: int) -> None:
        super().__init__()
        channels = [3, *pyramid(config.width, doublings(size))]
        stages: list[nn.Module] = []
        for stage, (fine, coarse) in enumerate(pairwise(channels)):
            has_norm = config.normalisation == "batch" and stage > 0  # the first layer has none, as in the paper
            stages.append(nn.Conv2d(fine, coarse, 4, stride=2, padding=1, bias=not has_norm))
            stages += [BatchNorm2d(coarse)] if has_norm else []
            stages.append(_ACTIVATIONS[config.activation](coarse))
            stages += [nn.Dropout(config.dropout)] if config.dropout else []
        self.stages = nn.Sequential(*stages)
        self.last = nn.Linear(channels[-1] * 16, 1)
        self.projection = Projection(classes, channels[-1] * 16)
        initialise(self, LEAKY_GAIN)
        initialise(self.last, LINEAR_GAIN)
        if config.normalisation == "spectral":
            normalise_spectrally(self)

    def forward(
        self, image: Float[Tensor, "batch 3 size size"], labels: Labels | None = None
    ) -> Float[Tensor, " batch"]:
        """Return one logit per image in [-1, 1]; `labels` are the numbers of their classes, if conditional."""
        features = self.stages(image).flatten(1)
        logits: Tensor = self.projection(self.last(features).squeeze(1), features, labels)
        return logits

    def layers(self) -> list[nn.Module]:
        """Return each halving of the side with what follows it, from the image on."""
        starts = [place for place, part in enumerate(self.stages) if isinstance(part, nn.Conv2d)]
        return [self.stages[start:end] for start, end in pairwise([*starts, len(self.stages)])]


def normalise_spectrally(module: nn.Module) -> None:
    """Divide each weight of convolutions, linear layers and embeddings in `module` by its largest singular value.

    Miyato et al. 2018, algorithm 1, https://arxiv.org/abs/1802.05957: one power iteration per forward in training.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding)]
    for layer in layers:
        nn.utils.parametrizations.spectral_norm(layer)


def _leaky_relu(channels: int) -> nn.Module:  # noqa: ARG001 - the same for any number of channels
    return nn.LeakyReLU(LEAKY_SLOPE, inplace=True)


def _prelu(channels: int) -> nn.Module:
    return nn.PReLU(channels, init=LEAKY_SLOPE)


_ACTIVATIONS = {"leaky_relu": _leaky_relu, "prelu": _prelu}


def _finish(channels: int, has_norm: bool) -> list[nn.Module]:  # noqa: FBT001
    return [*([BatchNorm2d(channels)] if has_norm else []), nn.ReLU(inplace=True)]
