"""A residual variational autoencoder without batch statistics, its code a vector or a map."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

from pydantic import Field, model_validator

from components.deferred.torch import nn
from components.models.dcgan import pyramid
from components.models.doubling import Nearest
from components.models.initial import LINEAR_GAIN, initialise
from components.models.network import doublings
from components.models.residual import normal_activation, residual_blocks
from components.models.vae import SingleLevelVae, Vae, VaeSection

_COARSEST_PX = 4


class ResidualVaeConfig(VaeSection):
    """Pre-activation residual blocks at every size, average pooling down and nearest neighbours up.

    Blocks are those of He et al. 2016, https://arxiv.org/abs/1603.05027, with group normalisation (Wu and He 2018,
    https://arxiv.org/abs/1803.08494) and SiLU, each the identity at the start, so images of a batch never influence
    each other.
    """

    kind: Literal["residual"] = "residual"
    latent: int = Field(default=128, ge=1, le=16384)
    """Numbers that describe one image."""
    map_px: int | None = Field(default=None, ge=4, le=256)
    """Side of the square map that the numbers form, each at its place in the picture, for sharper reconstructions: 4,
    8, 16 ... and smaller than the images. None makes them a vector, each of which describes the whole picture."""
    width: int = Field(default=32, ge=8, le=1024, multiple_of=8)
    """Channels next to the image; doubled at each smaller size, to at most 8 times."""
    blocks: int = Field(default=1, ge=1, le=16)
    """Residual blocks at each size, in the encoder and again in the decoder."""

    @model_validator(mode="after")
    def _fills_the_map(self) -> "ResidualVaeConfig":
        if self.map_px is not None and self.latent % self.map_px**2:
            raise ValueError(
                f"found latent {self.latent} for a map of {self.map_px} x {self.map_px}, expected a multiple of "
                f"{self.map_px**2}"
            )
        return self

    @property
    def code_size(self) -> int:
        """Numbers that describe one image."""
        return self.latent

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """How the network arranges a code: (numbers,), or (channels, height, width) of its map."""
        if self.map_px is None:
            return (self.latent,)
        return (self.latent // self.map_px**2, self.map_px, self.map_px)

    def halvings(self, size: int) -> int:
        """Return how often the side of images of `size` px is halved.

        Raises:
            ValueError: `size` is not 8, 16, 32, 64 ... px, or the map's side is not a smaller one, or 4, of these.
        """
        whole = doublings(size)
        sides = [_COARSEST_PX << count for count in range(whole)]
        side = self.map_px or _COARSEST_PX
        if side not in sides:
            raise ValueError(
                f"found map_px {side} for images of {size} px, expected one of {', '.join(map(str, sides))}"
            )
        return whole - sides.index(side)

    def check(self, size: int) -> None:
        """Raise ValueError unless the network can be built for images of `size` px."""
        self.halvings(size)

    def _build(self, size: int, numbers: int) -> Vae:
        widths = pyramid(self.width, self.halvings(size))
        finest, coarsest = widths[0], widths[-1]
        first, last = nn.Conv2d(3, finest, 3, padding=1), nn.Conv2d(finest, numbers, 3, padding=1)
        encoder: list[nn.Module] = [first]
        for fine, coarse in pairwise([finest, *widths]):
            encoder += [*residual_blocks(fine, coarse, self.blocks), nn.AvgPool2d(2)]
        encoder += [*residual_blocks(coarsest, coarsest, self.blocks), *normal_activation(coarsest)]
        posterior, expand = self._bottleneck(coarsest)
        decoder: list[nn.Module] = [*residual_blocks(coarsest, coarsest, self.blocks)]
        for coarse, fine in pairwise([*widths[::-1], finest]):
            decoder += [Nearest(), *residual_blocks(coarse, fine, self.blocks)]
        for part in (first, posterior, expand, last):
            initialise(part, LINEAR_GAIN)
        return SingleLevelVae(
            self.latent,
            encoder=nn.Sequential(*encoder),
            posterior=posterior,
            expand=expand,
            decoder=nn.Sequential(*decoder, *normal_activation(finest)),
            last=last,
        )

    def _bottleneck(self, channels: int) -> tuple[nn.Module, nn.Module]:
        """Return what makes a flat posterior of the coarsest features, and what makes such features of a flat code."""
        if self.map_px is None:
            grid = (channels, _COARSEST_PX, _COARSEST_PX)
            return (
                nn.Sequential(nn.Flatten(), nn.Linear(math.prod(grid), 2 * self.latent)),
                nn.Sequential(nn.Linear(self.latent, math.prod(grid)), nn.Unflatten(1, grid)),
            )
        maps = self.latent_shape[0]
        return (
            nn.Sequential(nn.Conv2d(channels, 2 * maps, 1), nn.Flatten()),
            nn.Sequential(nn.Unflatten(1, self.latent_shape), nn.Conv2d(maps, channels, 1)),
        )
