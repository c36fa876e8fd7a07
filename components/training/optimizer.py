"""Optimizers and learning-rate schedules, as functions of images seen."""

import math
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field
from torch import nn, optim

from components.section import Section

_Decay = Annotated[float, Field(ge=0, lt=1)]


class ScheduleConfig(Section):
    """Learning rate as a fraction of its full value: linear warm-up, then cosine decay."""

    warmup_images: int = Field(default=0, ge=0)
    """Images over which the rate rises linearly from 0."""
    final_fraction: float = Field(default=1.0, ge=0, le=1)
    """Fraction of the full rate reached by cosine decay at the end of training; 1 keeps it constant."""

    def factor(self, images: int, total_images: int) -> float:
        """Return the factor on the learning rate after `images` of `total_images`.

        Cosine decay after Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983, without restarts.
        """
        warm = min(1.0, (images + 1) / self.warmup_images) if self.warmup_images else 1.0
        done = min(1.0, images / total_images)
        return warm * (self.final_fraction + (1 - self.final_fraction) * 0.5 * (1 + math.cos(math.pi * done)))


class AdamConfig(Section):
    """Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980); AdamW when `weight_decay` is above 0."""

    kind: Literal["adam"] = "adam"
    rate: float = Field(default=2e-4, gt=0)
    """Full learning rate."""
    betas: tuple[_Decay, _Decay] = (0.5, 0.999)
    """Decay rates of the first and second moment."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay per step, as a fraction of the rate."""
    schedule: ScheduleConfig = ScheduleConfig()
    """How the rate changes over the run."""

    def build(self, parameters: Iterable[nn.Parameter]) -> optim.Optimizer:
        """Return the optimizer; fused kernels, one launch for all parameters."""
        return optim.AdamW(parameters, lr=self.rate, betas=self.betas, weight_decay=self.weight_decay, fused=True)


class RmspropConfig(Section):
    """RMSprop (Hinton 2012, lecture 6e of Neural Networks for Machine Learning)."""

    kind: Literal["rmsprop"] = "rmsprop"
    rate: float = Field(default=5e-5, gt=0)
    """Full learning rate."""
    smoothing: float = Field(default=0.99, ge=0, lt=1)
    """Decay rate of the mean of squared gradients."""
    schedule: ScheduleConfig = ScheduleConfig()
    """How the rate changes over the run."""

    def build(self, parameters: Iterable[nn.Parameter]) -> optim.Optimizer:
        """Return the optimizer; one fused loop over all parameters."""
        return optim.RMSprop(parameters, lr=self.rate, alpha=self.smoothing, foreach=True)


OptimizerConfig = Annotated[AdamConfig | RmspropConfig, Field(discriminator="kind")]


def set_rate(
    optimizer: optim.Optimizer, config: OptimizerConfig, images: int, total_images: int, factor: float = 1.0
) -> float:
    """Set and return the learning rate for the step that begins after `images` images, `factor` times the planned."""
    rate = factor * config.rate * config.schedule.factor(images, total_images)
    for group in optimizer.param_groups:
        group["lr"] = rate
    return rate
