"""A variational autoencoder whose code has levels: maps of numbers from coarse to fine, each drawn knowing the coarser.

Child 2021, https://arxiv.org/abs/2011.10650, at small width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import Field

from components.deferred.torch import Module, Tensor, nn, torch
from components.models.dcgan import pyramid
from components.models.doubling import Nearest
from components.models.initial import LINEAR_GAIN, SILU_GAIN, initialise
from components.models.network import doublings
from components.models.vae import LOG_VARIANCE_RANGE, Vae, VaeSection, reparameterise

_COARSEST_PX = 4
_LAST_GAIN = 0.1  # little is said at first, but not the same of every component of a mixture


class PlainBlock(Module):
    """Twice SiLU and convolution, added to the input, which a 1 x 1 convolution brings to size; zero at first.

    Without normalisation, as Child has it: on a CPU it takes a third of a step of few channels.
    """

    def __init__(self, given: int, made: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.SiLU(), nn.Conv2d(given, made, 3, padding=1), nn.SiLU())
        self.correction = nn.Conv2d(made, made, 3, padding=1)
        self.shortcut = nn.Identity() if given == made else nn.Conv2d(given, made, 1)
        initialise(self.branch, SILU_GAIN)
        initialise(self.correction, 0.0)
        initialise(self.shortcut, LINEAR_GAIN)

    def forward(self, x: Float[Tensor, "batch given side side"]) -> Float[Tensor, "batch made side side"]:
        """Return the input, corrected."""
        corrected: Tensor = self.shortcut(x) + self.correction(self.branch(x))
        return corrected


class Posterior(Module):
    """Where a block's numbers lie, given what coarser ones made and what the image shows."""

    def __init__(self, channels: int, numbers: int) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.SiLU(), nn.Conv2d(2 * channels, channels, 3, padding=1), nn.SiLU())
        self.moments = nn.Conv2d(channels, 2 * numbers, 1)
        initialise(self.features, SILU_GAIN)
        initialise(self.moments, LINEAR_GAIN)

    def forward(
        self, known: Float[Tensor, "batch channels side side"], seen: Float[Tensor, "batch channels side side"]
    ) -> tuple[Float[Tensor, "batch numbers side side"], Float[Tensor, "batch numbers side side"]]:
        """Return mean and log-variance."""
        mean, log_variance = self.moments(self.features(torch.cat([known, seen], 1))).chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)


class TopDownBlock(Module):
    """Puts the numbers of each place into the map, then corrects it.

    The prior's mean and scale are the block's own: a number is told as its distance from that mean, in that scale,
    in which the prior is standard normal and the posterior relative to it, as in Vahdat and Kautz 2020, section 3.2,
    https://arxiv.org/abs/2007.03898. The divergence is the same in these units.
    """

    def __init__(self, channels: int, numbers: int) -> None:
        super().__init__()
        self.scale = nn.Conv2d(channels, numbers, 1)
        self.enter = nn.Conv2d(numbers, channels, 1)
        self.correct = PlainBlock(channels, channels)
        initialise(self.scale, 0.0)
        initialise(self.enter, LINEAR_GAIN)

    def forward(
        self, known: Float[Tensor, "batch channels side side"], numbers: Float[Tensor, "batch numbers side side"]
    ) -> Float[Tensor, "batch channels side side"]:
        """Return the map with the numbers in it."""
        scale = 2 * torch.sigmoid(self.scale(known))  # 1 at first, and bounded where nothing is normalised
        told: Tensor = self.correct(known + self.enter(numbers * scale))
        return told


class HierarchicalVae(Vae):
    """Features of an image at each side, and a way down from a learnt map, on which numbers are drawn at each level."""

    def __init__(
        self,
        *,
        bottom_up: Sequence[nn.Module],
        top: Float[Tensor, "1 channels side side"],
        widen: Sequence[nn.Module],
        posteriors: Sequence[Posterior],
        blocks: Sequence[TopDownBlock],
        shapes: Sequence[tuple[int, int, int]],
        last: nn.Module,
    ) -> None:
        """Join the parts.

        Args:
            bottom_up: From the image on, what makes the features of each side, coarsest last.
            top: The map that the way down begins with.
            widen: What brings the map to the side of each block, coarsest first.
            posteriors: Where each block's numbers lie.
            blocks: What puts them into the map.
            shapes: How the numbers of each block lie: (numbers, side, side).
            last: From the last block's map to what is said of each pixel.
        """
        super().__init__()
        self.bottom_up = nn.ModuleList(bottom_up)
        self.top = nn.Parameter(top)
        self.widen = nn.ModuleList(widen)
        self.posteriors = nn.ModuleList(posteriors)
        self.blocks = nn.ModuleList(blocks)
        self.shapes = tuple(shapes)
        self.latent = sum(map(math.prod, shapes))
        self.last = last

    def encode(
        self, image: Float[Tensor, "batch 3 size size"], noise: Float[Tensor, "batch latent"] | None = None
    ) -> tuple[Float[Tensor, "batch latent"], Float[Tensor, "batch latent"]]:
        """Return the mean and the natural logarithm of the variance of each number, those of coarser levels drawn."""
        _, mean, log_variance = self._inferred(image, noise)
        return mean, log_variance

    def decode(self, latent: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch numbers size size"]:
        """Return what is said of each pixel of the image of each code."""
        known = self.top.repeat(len(latent), 1, 1, 1)
        for widen, block, numbers in zip(self.widen, self.blocks, self._levels(latent), strict=True):
            known = block(widen(known), numbers)
        said: Tensor = self.last(known)
        return said

    def forward(
        self, image: Float[Tensor, "batch 3 size size"], noise: Float[Tensor, "batch latent"]
    ) -> tuple[Float[Tensor, "batch numbers size size"], Float[Tensor, "batch latent"], Float[Tensor, "batch latent"]]:
        """Return what is decoded from a draw, mean and log-variance, on one way down; `noise` is standard normal."""
        known, mean, log_variance = self._inferred(image, noise)
        said: Tensor = self.last(known)
        return said, mean, log_variance

    def _inferred(
        self, image: Float[Tensor, "batch 3 size size"], noise: Float[Tensor, "batch latent"] | None
    ) -> tuple[Float[Tensor, "batch channels side side"], Float[Tensor, "batch latent"], Float[Tensor, "batch latent"]]:
        """Return the last block's map, and the moments of all numbers."""
        seen = self._features(image)
        known = self.top.repeat(len(image), 1, 1, 1)
        noises = self._levels(image.new_zeros(len(image), self.latent) if noise is None else noise)
        means, log_variances = [], []
        for widen, posterior, block, drawn in zip(self.widen, self.posteriors, self.blocks, noises, strict=True):
            known = widen(known)
            mean, log_variance = posterior(known, seen[known.shape[-1]])
            known = block(known, reparameterise(mean, log_variance, drawn))
            means.append(mean.flatten(1))
            log_variances.append(log_variance.flatten(1))
        return known, torch.cat(means, 1), torch.cat(log_variances, 1)

    def _features(self, image: Float[Tensor, "batch 3 size size"]) -> dict[int, Float[Tensor, "batch _ side side"]]:
        """Return what each side shows of an image, by side."""
        features, shown = {}, image
        for layer in self.bottom_up:
            shown = layer(shown)
            features[shown.shape[-1]] = shown
        return features

    def _levels(self, flat: Float[Tensor, "batch latent"]) -> Iterator[Float[Tensor, "batch numbers side side"]]:
        """Yield the part of each block."""
        parts = flat.split([math.prod(shape) for shape in self.shapes], dim=1)
        return (part.unflatten(1, shape) for part, shape in zip(parts, self.shapes, strict=True))


class HierarchicalVaeConfig(VaeSection):
    """Residual blocks at every side on the way up, and on the way down blocks that draw numbers at each place.

    Coarse levels say what is where, fine ones how it looks in detail, so that codes hold thousands of numbers which a
    decoder of a few blocks can use. Images of a batch never influence each other.
    """

    kind: Literal["hierarchical"] = "hierarchical"
    levels: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(default=(16, 8), min_length=1, max_length=9)
    """Numbers at each place of the map of 4 px, of that of 8 px, and so on, at most to the images' own side."""
    blocks: int = Field(default=1, ge=1, le=16)
    """Times that each level draws so many numbers, each time knowing those before; and residual blocks at each side on
    the way up."""
    width: int = Field(default=16, ge=8, le=1024, multiple_of=8)
    """Channels next to the image; doubled at each smaller side, to at most 8 times."""

    @property
    def code_size(self) -> int:
        """Numbers that describe one image."""
        return sum(map(math.prod, self._shapes))

    @property
    def _shapes(self) -> list[tuple[int, int, int]]:
        return [
            (numbers, _COARSEST_PX << level, _COARSEST_PX << level)
            for level, numbers in enumerate(self.levels)
            for _ in range(self.blocks)
        ]

    def check(self, size: int) -> None:
        """Raise ValueError unless the network can be built for images of `size` px."""
        most = doublings(size) + 1
        if len(self.levels) > most:
            raise ValueError(
                f"found {len(self.levels)} levels for images of {size} px, expected at most {most}: a map of "
                f"{_COARSEST_PX} px, and one for each doubling of it"
            )

    def _build(self, size: int, numbers: int) -> Vae:
        widths = pyramid(self.width, doublings(size) + 1)  # finest first
        first = nn.Conv2d(3, widths[0], 3, padding=1)
        bottom_up = [nn.Sequential(first, *_plain(widths[0], widths[0], self.blocks))]
        for fine, coarse in pairwise(widths):
            bottom_up.append(nn.Sequential(nn.AvgPool2d(2), *_plain(fine, coarse, self.blocks)))
        drawing: list[tuple[int, int]] = []
        widen: list[nn.Module] = []
        steps = [nn.Identity(), *(_doubled(coarse, fine) for coarse, fine in pairwise(widths[::-1]))]
        for channels, step, drawn in zip(widths[::-1], steps, self.levels, strict=False):
            drawing += [(channels, drawn)] * self.blocks
            widen += [step, *(nn.Identity() for _ in range(self.blocks - 1))]
        last = nn.Conv2d(widths[0], numbers, 3, padding=1)
        initialise(first, LINEAR_GAIN)
        initialise(last, _LAST_GAIN)
        return HierarchicalVae(
            bottom_up=bottom_up,
            top=torch.zeros(1, widths[-1], _COARSEST_PX, _COARSEST_PX),
            widen=widen,
            posteriors=[Posterior(*one) for one in drawing],
            blocks=[TopDownBlock(*one) for one in drawing],
            shapes=self._shapes,
            last=nn.Sequential(*steps[len(self.levels) :], nn.SiLU(), last),
        )


def _plain(given: int, made: int, count: int) -> list[PlainBlock]:
    return [PlainBlock(made if place else given, made) for place in range(count)]


def _doubled(given: int, made: int) -> nn.Module:
    return nn.Sequential(Nearest(), PlainBlock(given, made))
