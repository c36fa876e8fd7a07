"""Fill: a first guess for missing pixels that needs no training, and how networks correct one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import nullcontext

from jaxtyping import Float

from components.deferred.torch import F, Module, Tensor, torch

_LEAST_SPREAD = 1 / 16


class Fill(Module, ABC):
    """Fills in missing pixels from known ones, in float32 whatever autocast says; nothing of it is trained."""

    def forward(
        self, image: Float[Tensor, "batch 3 height width"], missing: Float[Tensor, "batch 1 height width"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Return `image` with missing pixels, which are not read, filled in within [-1, 1]; the others stay."""
        known = image * (1 - missing)
        with torch.no_grad(), nullcontext() if image.is_meta else torch.autocast(image.device.type, enabled=False):
            filled = self._filled(known.float(), missing.float()).clamp(-1, 1)
        return torch.where(missing > 0, filled.to(image.dtype), image)

    @abstractmethod
    def _filled(
        self, image: Float[Tensor, "batch 3 height width"], missing: Float[Tensor, "batch 1 height width"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Return whole images; missing pixels of `image` are 0."""


def pyramid_fill(
    image: Float[Tensor, "batch channels height width"], missing: Float[Tensor, "batch 1 height width"]
) -> Float[Tensor, "batch channels height width"]:
    """Return `image` with missing pixels interpolated from known ones; known pixels are untouched.

    Halves the image until one pixel is left, averaging known pixels only, then fills each size from the next smaller
    one: the pull-push algorithm of Gortler et al. 1996, https://doi.org/10.1145/237170.237200, with
    weights of 0 or 1. What the missing pixels hold is never read. All missing gives 0, mid-grey.
    """
    known = 1 - missing
    levels = [(image * known, known)]
    while max(levels[-1][0].shape[-2:]) > 1:
        value, known = levels[-1]
        weight = F.avg_pool2d(known, 2, ceil_mode=True)
        mean = F.avg_pool2d(value * known, 2, ceil_mode=True) / weight.clamp_min(1e-6)
        levels.append((mean, (weight > 0).to(image.dtype)))
    filled = levels.pop()[0]
    for value, known in reversed(levels):
        coarse = F.interpolate(filled, size=value.shape[-2:], mode="bilinear", align_corners=False)
        filled = torch.where(known > 0, value, coarse)
    return filled


def add_and_clamp(
    guess: Float[Tensor, "batch 3 height width"], correction: Float[Tensor, "batch 3 height width"], *, training: bool
) -> Float[Tensor, "batch 3 height width"]:
    """Return `guess` + `correction`, limited to [-1, 1].

    In training the gradient passes as if there were no limit (Bengio et al. 2013's straight-through estimator,
    https://arxiv.org/abs/1308.3432), so that a pixel beyond the range can come back.
    """
    total = guess + correction
    limited = total.clamp(-1, 1)
    return total + (limited - total).detach() if training else limited


def known_scale(
    image: Float[Tensor, "batch 3 height width"], missing: Float[Tensor, "batch 1 height width"]
) -> tuple[Float[Tensor, "batch 3 1 1"], Float[Tensor, "batch 1 1 1"]]:
    """Return the known pixels' mean of each colour, and their deviation from it over all colours, at least 1/16.

    A flat image thus stays small instead of becoming all noise. Nothing known gives 0 and the least deviation.
    """
    known = 1 - missing
    pixels = known.sum(dim=(2, 3), keepdim=True).clamp_min(1)
    mean = (image * known).sum(dim=(2, 3), keepdim=True) / pixels
    variance = ((image - mean) * known).square().sum(dim=(1, 2, 3), keepdim=True) / (3 * pixels)
    return mean, variance.clamp_min(_LEAST_SPREAD**2).sqrt()
