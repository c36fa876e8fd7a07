"""Exponential moving average of a network's weights: the copy that is evaluated and served."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field, field_validator

from components.deferred.torch import Tensor, nn, torch
from components.ramp import half_cosine
from components.section import Grown


class EmaConfig(Grown):
    """How slowly the average follows the weights."""

    ADDED: ClassVar[frozenset[str]] = frozenset({"beside"})

    half_life_images: int = Field(default=20_000, gt=0)
    """Images after which a weight's influence on the average has halved."""
    ramp_fraction: float = Field(default=0.05, ge=0, le=1)
    """The half-life is at most this fraction of the images seen so far, so that early averages are fresh; 0: off."""
    ramp_images: int = Field(default=0, ge=0)
    """Images over which the half-life rises from 0 to its full value along half a cosine, as in R3GAN; 0: at once."""

    beside: tuple[int, ...] = ()
    """More half-lives, in images, each of an average of its own that is kept beside: the one with the best score of
    `training.validation` is exported. `ramp_fraction` holds for each, so one that is longer than that fraction of the
    training never comes to its full length."""

    @field_validator("beside")
    @classmethod
    def _are_images(cls, beside: tuple[int, ...]) -> tuple[int, ...]:
        if any(one <= 0 for one in beside) or len(set(beside)) < len(beside):
            raise ValueError(f"found half-lives {list(beside)}, expected different numbers of images above 0")
        return beside

    def averages(self, name: str) -> Iterator[tuple[str, "EmaConfig"]]:
        """Yield a name and the section of each average of the network `name`; its own is that of `half_life_images`."""
        yield name, self
        for half_life in self.beside:
            yield f"{name}@{half_life}", self.model_copy(update={"half_life_images": half_life})

    def half_life(self, images: int) -> float:
        """Return the half-life after `images` images, in images; above 0."""
        half_life = float(self.half_life_images)
        if self.ramp_fraction:
            half_life = min(half_life, images * self.ramp_fraction)
        if self.ramp_images:
            half_life = min(half_life, half_cosine(0.0, self.half_life_images, images / self.ramp_images))
        return max(half_life, 1e-8)


class Ema:
    """A frozen copy of `network` that follows it.

    After Karras et al. 2020 (StyleGAN2-ADA), https://arxiv.org/abs/2006.06676: half-life counted in images and ramped
    up, so that the result does not depend on the batch size.
    """

    def __init__(self, network: nn.Module, config: EmaConfig) -> None:
        self.config = config
        self.network = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        # Kept as lists: walking the modules for them takes a small network's step milliseconds.
        self._averages: list[Tensor] = list(self.network.parameters())
        self._weights: list[Tensor] = list(network.parameters())
        # Of one type at a time, as these are copied by one operation.
        self._buffers: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
        for average, current in zip(self.network.buffers(), network.buffers(), strict=True):
            averages, currents = self._buffers.setdefault(current.dtype, ([], []))
            averages.append(average)
            currents.append(current)

    def update(self, images: int, batch: int) -> None:
        """Move the average one step of `batch` images; parameters are averaged, buffers copied."""
        towards = 1 - 0.5 ** (batch / self.config.half_life(images))
        with torch.no_grad():
            torch._foreach_lerp_(self._averages, self._weights, towards)
            for averages, currents in self._buffers.values():
                torch._foreach_copy_(averages, currents)
