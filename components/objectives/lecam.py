"""LeCam: keeps a discriminator's logits near those it used to give, for trainings on few images."""

from __future__ import annotations

from jaxtyping import Float
from pydantic import Field

from components.deferred.torch import Module, Tensor, torch
from components.distributed import all_reduce_sum, processes
from components.section import Section


class LecamConfig(Section):
    """The regularisation of Tseng et al. 2021, equation 3, https://arxiv.org/abs/2104.03310.

    It bounds how far predictions at real images and moving means of predictions at made ones are apart, and the other
    way round; with it the game minimises a LeCam divergence.
    """

    weight: float = Field(default=0.1, gt=0)
    """Weight beside the discriminator's loss."""
    decay: float = Field(default=0.99, gt=0, lt=1)
    """What is left of a moving mean after a step."""


class Anchors(Module):
    """Moving means of logits, in tensors, so that checkpoints hold them and a captured step moves them."""

    def __init__(self, config: LecamConfig) -> None:
        super().__init__()
        self.config = config
        self.real: Tensor
        self.fake: Tensor
        self.register_buffer("real", torch.zeros(()))
        self.register_buffer("fake", torch.zeros(()))

    def penalty(self, real_logits: Float[Tensor, "*shape"], fake_logits: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
        """Return the weighted penalty, E (D(x) - α_F)² + E (D(G(z)) - α_R)², of logits at real and made images."""
        apart = (real_logits - self.fake).square().mean() + (fake_logits - self.real).square().mean()
        return self.config.weight * apart

    def follow(self, real_logits: Float[Tensor, "*shape"], fake_logits: Float[Tensor, "*shape"]) -> None:
        """Move the means towards those of these logits, over all processes."""
        with torch.no_grad():
            means = torch.stack([real_logits.detach().mean(), fake_logits.detach().mean()])
            real, fake = all_reduce_sum(means) / processes()
            self.real.lerp_(real.to(self.real.dtype), 1 - self.config.decay)
            self.fake.lerp_(fake.to(self.fake.dtype), 1 - self.config.decay)
