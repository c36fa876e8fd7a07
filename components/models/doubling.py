"""Doubling: images of twice the side, from whose gradients equal runs on a GPU come out equal."""

from __future__ import annotations

from jaxtyping import Float

from components.deferred.torch import F, Module, Tensor, torch


def nearest(x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels 2*height 2*width"]:
    """Return each pixel four times.

    What torch.compile makes of `F.interpolate` adds up the gradient by atomic operations, in any order. It makes plain
    sums of this.
    """
    if not torch.compiler.is_compiling():
        return F.interpolate(x, scale_factor=2.0, mode="nearest")
    batch, channels, height, width = x.shape
    last = x.permute(0, 2, 3, 1)[:, :, None, :, None]  # batch height 1 width 1 channels
    four = last.expand(batch, height, 2, width, 2, channels)
    return four.reshape(batch, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)


class Nearest(Module):
    """`nearest` as a layer."""

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels 2*height 2*width"]:
        """Return each pixel four times."""
        return nearest(x)


def bilinear(x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels 2*height 2*width"]:
    """Return what bilinear interpolation gives.

    The GPU's own kernel took a third of a training step, most of it backwards, and adds up in any order; there it is
    plain sums of weighted neighbours, which also fuse.
    """
    if not x.is_cuda:
        return F.interpolate(x, scale_factor=2, mode="bilinear")
    return by_neighbours(x)


def by_neighbours(x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels 2*height 2*width"]:
    """Return what `bilinear` does, from weighted neighbours."""
    return _along(_along(x, 2), 3)


def _along(x: Float[Tensor, "batch channels height width"], dim: int) -> Float[Tensor, "batch channels ..."]:
    """Return twice as many values along a dimension: each a quarter of the way to the neighbour on its side."""
    length = x.shape[dim]
    before = torch.cat([x.narrow(dim, 0, 1), x.narrow(dim, 0, length - 1)], dim)
    after = torch.cat([x.narrow(dim, 1, length - 1), x.narrow(dim, length - 1, 1)], dim)
    return torch.stack([x.lerp(before, 0.25), x.lerp(after, 0.25)], dim + 1).flatten(dim, dim + 1)
