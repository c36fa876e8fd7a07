"""Gradient penalties: how steep a discriminator may be at the images it judges."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Float

from components.deferred.torch import Tensor, torch

Discriminator = Callable[[Float[Tensor, "batch channels height width"]], Float[Tensor, "batch ..."]]
"""Images to logits, one per image or a map per image; images of a batch must not influence each other's."""


class Sloped(NamedTuple):
    """What a discriminator made of images, and how that changes with their pixels."""

    logits: Float[Tensor, "batch ..."]
    """In float32; one per image or a map per image."""
    slopes: Float[Tensor, "batch values"]
    """Each image's gradient of its own logits, those of a map summed; in float32, itself differentiable."""


Differentiated = Callable[[Discriminator, Float[Tensor, "batch channels height width"]], Sloped]
"""A pass over images that also gives their slopes."""


def with_slopes(discriminator: Discriminator, images: Float[Tensor, "batch channels height width"]) -> Sloped:
    """Return the logits of images and their slopes from one pass; no gradient reaches the images."""
    leaves = images.detach().requires_grad_()
    logits = discriminator(leaves).float()
    slopes: Tensor = torch.autograd.grad(logits.sum(), leaves, create_graph=True)[0]
    return Sloped(logits, torch.flatten(slopes.float(), start_dim=1))


def traceable_slopes(discriminator: Discriminator, images: Float[Tensor, "batch channels height width"]) -> Sloped:
    """Return what `with_slopes` does, so that torch.compile can take all of it as one graph.

    What autograd was told by hand, such as a sum over processes, is beyond `torch.func.grad`.
    """

    def total(leaves: Tensor) -> tuple[Tensor, Tensor]:
        logits = discriminator(leaves).float()
        return logits.sum(), logits

    slopes, logits = torch.func.grad(total, has_aux=True)(images.detach())
    return Sloped(logits, torch.flatten(slopes.float(), start_dim=1))


class Pass:
    """`with_slopes`, compiled if asked for: one for each network that a penalty differentiates."""

    def __init__(self) -> None:
        self._differentiated: Differentiated = with_slopes

    def compile(self) -> None:
        """Have torch.compile take the pass and its slopes as one graph from the next call on."""
        self._differentiated = torch.compile(traceable_slopes, fullgraph=True)

    def __call__(self, discriminator: Discriminator, images: Float[Tensor, "batch channels height width"]) -> Sloped:
        """Return the logits of images and their slopes."""
        return self._differentiated(discriminator, images)


def squared_slope(slopes: Float[Tensor, "batch values"]) -> Float[Tensor, ""]:
    """Return the batch mean of |∇ D|², the squared length of the gradient of an image's logits to its pixels.

    Half of it, times γ, is R1 on real images and R2 on made ones: Mescheder et al. 2018, equations 9 and 10,
    https://arxiv.org/abs/1801.04406. Logits of a map are summed. Differentiable, to train the discriminator on.
    """
    return slopes.square().sum(1).mean()


def slope_beside_one(slopes: Float[Tensor, "batch values"]) -> Float[Tensor, ""]:
    """Return the batch mean of (|∇ D| - 1)², to be taken at points between real and made images.

    Gulrajani et al. 2017, equation 3, https://arxiv.org/abs/1704.00028.
    """
    length: Tensor = torch.linalg.vector_norm(slopes, dim=1)
    return (length - 1).square().mean()


def between(
    real: Float[Tensor, "batch channels height width"],
    fake: Float[Tensor, "batch channels height width"],
    mix: Float[Tensor, " batch"],
) -> Float[Tensor, "batch channels height width"]:
    """Return points between real and made images; `mix`, uniform in [0, 1], is each one's share of the real image."""
    share = mix.view(-1, 1, 1, 1)
    return share * real + (1 - share) * fake
