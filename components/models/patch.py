"""The patch discriminator of Isola et al. 2017, https://arxiv.org/abs/1611.07004: one logit per patch of the image."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from pydantic import Field

from components.deferred.torch import Tensor, nn
from components.models.dcgan import normalise_spectrally, pyramid
from components.models.initial import LEAKY_GAIN, LEAKY_SLOPE, LINEAR_GAIN, initialise
from components.models.network import Judge
from components.section import Section


class PatchDiscriminatorConfig(Section):
    """Judges overlapping patches, so that it works at any size and can tell where an image was mended."""

    kind: Literal["patch"] = "patch"
    width: int = Field(default=32, ge=4, le=512)
    """Channels of the first layer; doubled at each further one, to at most 8 times."""
    layers: int = Field(default=3, ge=2, le=6)
    """Convolutions before the one that makes logits: all but the last of them halve the side."""
    normalisation: Literal["none", "spectral"] = "spectral"
    """Spectral: Miyato et al. 2018, https://arxiv.org/abs/1802.05957, as in SN-PatchGAN. There is no batch
    normalisation here: it would let the images of a batch influence each other's logits."""

    def build(self) -> "PatchDiscriminator":
        """Return the network, with weights drawn from torch's global stream."""
        return PatchDiscriminator(self)


class PatchDiscriminator(Judge):
    """Image to a map of logits: above zero means real."""

    def __init__(self, config: PatchDiscriminatorConfig) -> None:
        super().__init__()
        widths = [3, *pyramid(config.width, config.layers)]
        self.stages = nn.ModuleList()
        for stage, (fine, coarse) in enumerate(pairwise(widths)):
            halves = stage < config.layers - 1
            convolution = nn.Conv2d(fine, coarse, 4 if halves else 3, stride=2 if halves else 1, padding=1)
            self.stages.append(nn.Sequential(convolution, nn.LeakyReLU(LEAKY_SLOPE, inplace=True)))
        self.last = nn.Conv2d(widths[-1], 1, 3, padding=1)
        initialise(self, LEAKY_GAIN)
        initialise(self.last, LINEAR_GAIN)
        if config.normalisation == "spectral":
            normalise_spectrally(self)

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 1 rows columns"]:
        """Return the logits; `layers` - 1 halvings make rows and columns."""
        return self.with_features(image)[0]

    def with_features(
        self, image: Float[Tensor, "batch 3 height width"]
    ) -> tuple[Float[Tensor, "batch 1 rows columns"], tuple[Tensor, ...]]:
        """Return the logits and what each stage saw, finest first: the material of feature matching."""
        features: list[Tensor] = []
        x = image
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return self.last(x), tuple(features)

    def layers(self) -> list[nn.Module]:
        """Return the convolutions before the one that makes logits, from the image on."""
        return list(self.stages)
