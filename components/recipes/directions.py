"""Directions: the ways in a network's code along which its pictures change most, in closed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float

from components.deferred.torch import Tensor, nn, torch
from components.recipes.recipe import Images, device_of


@runtime_checkable
class Steerable(Protocol):
    """Makes pictures of codes that can be moved."""

    def along(self, directions: int, samples: int, shifts: Sequence[float], seed: int) -> Sequence[Sequence[Images]]:
        """Return what becomes of the first pictures of the draw `seed` along the strongest directions.

        Args:
            directions: How many, at most; a network whose code no linear layer takes in has none.
            samples: Pictures in each view.
            shifts: How far their codes are moved, in standard deviations of what codes are drawn from.
            seed: Of the draw.

        Returns:
            Of each direction the views, one a shift, in order.
        """
        ...


def strongest(
    network: nn.Module, run: Callable[[Float[Tensor, "1 latent"]], object], latent: int, count: int
) -> Float[Tensor, "directions latent"]:
    """Return unit vectors of the code that the network's first layers answer most, the strongest first.

    They are the eigenvectors of AᵀA, where A is the weight of what takes the code in: closed-form factorisation, Shen
    and Zhou 2021, equation 6, https://arxiv.org/abs/2007.06600. Where several layers do, theirs are stacked. Of a code
    of maps, whose entry is a convolution, each map is moved as a whole. Each vector's largest number is above 0.

    Args:
        network: Whose linear layers and convolutions are looked at.
        run: Passes a code, on the network's device, through it.
        latent: Numbers in a code.
        count: Directions, at most.
    """
    probe = torch.linspace(-1, 1, latent, device=device_of(network))[None]
    weights: list[Tensor] = []

    def look(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        seen = given[0].flatten(1)
        if seen.shape[1] >= latent and torch.equal(seen[:, :latent].float(), probe):
            weights.append(_answer(layer, given[0])[:, :latent].double())

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    watched = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        run(probe)
    finally:
        for one in watched:
            one.remove()
    if not weights:
        return probe[:0]
    stacked = torch.cat(weights)
    vectors = torch.linalg.eigh(stacked.T @ stacked).eigenvectors.T.flip(0)[:count]
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    found: Tensor = (vectors * largest.sign()).float()
    return found


def _answer(layer: nn.Module, code: Float[Tensor, "1 *shape"]) -> Float[Tensor, "outputs numbers"]:
    """Return by how much each output moves with each number of the code; of maps, with the mean of each map."""
    weight = layer.weight  # a property where it is normalised, so no parameter of that name
    assert isinstance(weight, Tensor)
    weight = weight.detach()
    if weight.dim() == 2:
        return weight
    places = code[0, 0].numel()
    answer: Tensor = weight.sum(dim=(2, 3)).repeat_interleave(places, dim=1) / places**0.5
    return answer
