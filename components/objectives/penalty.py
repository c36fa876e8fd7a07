"""Gradient penalties: how steep a discriminator may be at the images it judges."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float

from components.deferred.torch import Tensor, torch

Discriminator = Callable[[Float[Tensor, "batch channels height width"]], Float[Tensor, "batch ..."]]
"""Images to logits, one per image or a map per image; images of a batch must not influence each other's."""


def squared_slope(
    discriminator: Discriminator, images: Float[Tensor, "batch channels height width"]
) -> Float[Tensor, ""]:
    """Return the batch mean of |∇ D|², the squared length of the gradient of an image's logits to its pixels.

    Half of it, times γ, is R1 on real images and R2 on made ones: Mescheder et al. 2018, equations 9 and 10,
    https://arxiv.org/abs/1801.04406. Logits of a map are summed. Differentiable, to train the discriminator on.
    """
    return _gradient(discriminator, images).square().sum(1).mean()


def slope_beside_one(
    discriminator: Discriminator,
    real: Float[Tensor, "batch channels height width"],
    fake: Float[Tensor, "batch channels height width"],
    mix: Float[Tensor, " batch"],
) -> Float[Tensor, ""]:
    """Return the batch mean of (|∇ D| - 1)² at points between real and made images.

    Gulrajani et al. 2017, equation 3, https://arxiv.org/abs/1704.00028.

    Args:
        discriminator: Returns logits.
        real: Real images.
        fake: Made images; no gradient reaches them.
        mix: Uniform in [0, 1]: each point's share of the real image.
    """
    share = mix.view(-1, 1, 1, 1)
    between = share * real.detach() + (1 - share) * fake.detach()
    length: Tensor = torch.linalg.vector_norm(_gradient(discriminator, between), dim=1)
    return (length - 1).square().mean()


def slope_of(
    logits: Float[Tensor, "batch ..."], images: Float[Tensor, "batch channels height width"]
) -> Float[Tensor, "batch values"]:
    """Return each image's gradient of its own logits, in float32, itself differentiable.

    Args:
        logits: What a discriminator made of `images`.
        images: Must require gradients and have led to `logits`.
    """
    gradient: Tensor = torch.autograd.grad(logits.float().sum(), images, create_graph=True)[0]
    return torch.flatten(gradient.float(), start_dim=1)


def _gradient(
    discriminator: Discriminator, images: Float[Tensor, "batch channels height width"]
) -> Float[Tensor, "batch values"]:
    leaves = images.detach().requires_grad_()
    return slope_of(discriminator(leaves), leaves)
