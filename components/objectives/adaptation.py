"""Adaptation: a chance of changes that follows how well a discriminator knows the images it is trained on."""

from __future__ import annotations

from jaxtyping import Float
from pydantic import Field

from components.deferred.torch import Module, Tensor, torch
from components.distributed import all_reduce_sum, processes
from components.section import Section

_BATCHES = 4


class AdaptiveConfig(Section):
    """Adaptive discriminator augmentation, Karras et al. 2020, section 3, https://arxiv.org/abs/2006.06676.

    A discriminator that is sure of its training images has begun to learn them by heart: r_t, the mean sign of its
    logits at them, grows towards 1. Above the target the chance of changes rises, below it it falls.
    """

    target: float = Field(default=0.6, gt=-1, lt=1)
    """The mean sign that is aimed at; 0.6 in the paper."""
    images: int = Field(default=100_000, gt=0)
    """Images in which the chance could go from 0 to 1; 500,000 in the paper, for trainings of 25 million."""


class Adaptation(Module):
    """The chance so far, in tensors, so that checkpoints hold it and a captured step moves it."""

    def __init__(self, config: AdaptiveConfig, most: float) -> None:
        super().__init__()
        self.config = config
        self.most = most
        self.chance: Tensor
        self.certainty: Tensor
        self.register_buffer("chance", torch.zeros(()))
        self.register_buffer("certainty", torch.zeros(()))

    def follow(self, real_logits: Float[Tensor, " batch"]) -> None:
        """Move the chance after a pass with these logits of real images, over all processes.

        The paper takes the mean sign of four batches, then moves; here it is a moving mean over about four, and the
        chance moves after each by a quarter as much.
        """
        with torch.no_grad():
            sign = all_reduce_sum(real_logits.detach().float().sign().mean()) / processes()
            self.certainty.lerp_(sign, 1 / _BATCHES)
            direction = torch.sign(self.certainty - self.config.target)
            step = len(real_logits) * processes() / self.config.images
            self.chance.add_(direction * step).clamp_(0, self.most)
