"""DiffAugment: the same kind of random change to real and made images before the discriminator sees them.

Zhao et al. 2020, https://arxiv.org/abs/2006.10738: a discriminator that sees few images over and over learns them by
heart; one that sees them changed cannot, and because the changes are differentiable the generator learns through them.
"""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Bool, Float, Int64
from pydantic import Field

from components.deferred.torch import F, Tensor, torch
from components.objectives.adaptation import AdaptiveConfig
from components.section import Grown

FEW_IMAGES = 20_000
"""Training images below which a discriminator is shown changed images unless told otherwise."""

_ALWAYS = 5  # uniform numbers that an image takes: three of colour, two of translation
_CUTOUT = 2
_CHANGES = 3


class AugmentationConfig(Grown):
    """Which changes are made, and how far they go. The defaults are the paper's colour and translation."""

    colour: bool = True
    """Brightness by up to half the range [0, 1] of a channel, saturation by 0 to 2, contrast by 0.5 to 1.5."""
    translation: float = Field(default=0.125, ge=0, le=0.5)
    """Farthest shift along each axis, as a fraction of the side; the border is repeated, where the paper has grey."""

    cutout: float = Field(default=0.0, ge=0, lt=1)
    """Side of a square that is made grey, as a fraction of the image's side; it may reach beyond the border. 0: none;
    the paper has 0.5."""
    probability: float = Field(default=1.0, gt=0, le=1)
    """Chance of each kind of change to be made to an image; where it is adaptive, the most it may come to."""
    adaptive: AdaptiveConfig | None = None
    """The chance follows how well the discriminator knows the training images; None: it stays."""

    ADDED: ClassVar[frozenset[str]] = frozenset({"cutout", "probability", "adaptive"})

    @property
    def numbers(self) -> int:
        """Uniform numbers that one image takes."""
        return _ALWAYS + (_CUTOUT if self.cutout else 0) + (_CHANGES if self._chooses else 0)

    @property
    def _chooses(self) -> bool:
        return self.probability < 1 or self.adaptive is not None

    def apply(
        self,
        images: Float[Tensor, "batch 3 height width"],
        numbers: Float[Tensor, "batch numbers"],
        chance: Float[Tensor, ""] | None = None,
    ) -> Float[Tensor, "batch 3 height width"]:
        """Return changed images; not limited to [-1, 1].

        Args:
            images: In [-1, 1].
            numbers: Uniform in [0, 1): what is drawn for each image. Equal numbers change images alike.
            chance: That of each kind of change, in [0, 1]; None: `probability`.
        """
        made = [torch.ones_like(numbers[:, 0], dtype=torch.bool)] * _CHANGES
        if self._chooses:
            made = list((numbers[:, -_CHANGES:] < (self.probability if chance is None else chance)).unbind(1))
        if self.colour:
            images = self._where(made[0], _recoloured(images, numbers[:, :3]), images)
        if self.translation:
            images = self._where(made[1], _shifted(images, numbers[:, 3:_ALWAYS], self.translation), images)
        if self.cutout:
            images = self._where(made[2], _cut(images, numbers[:, _ALWAYS : _ALWAYS + _CUTOUT], self.cutout), images)
        return images

    def _where(
        self,
        made: Bool[Tensor, " batch"],
        changed: Float[Tensor, "batch 3 height width"],
        images: Float[Tensor, "batch 3 height width"],
    ) -> Float[Tensor, "batch 3 height width"]:
        return torch.where(made.view(-1, 1, 1, 1), changed, images) if self._chooses else changed


def _recoloured(
    images: Float[Tensor, "batch 3 height width"], numbers: Float[Tensor, "batch 3"]
) -> Float[Tensor, "batch 3 height width"]:
    brightness, saturation, contrast = numbers.to(images.dtype).view(-1, 3, 1, 1, 1).unbind(1)  # batch 1 1 1 each
    images = images + (brightness - 0.5)
    grey = images.mean(1, keepdim=True)  # batch 1 height width
    images = grey + (images - grey) * (2 * saturation)
    level = images.mean((1, 2, 3), keepdim=True)  # batch 1 1 1
    return level + (images - level) * (contrast + 0.5)


def _shifted(
    images: Float[Tensor, "batch 3 height width"], numbers: Float[Tensor, "batch 2"], most: float
) -> Float[Tensor, "batch 3 height width"]:
    height, width = images.shape[-2:]
    reach = int(most * max(height, width))
    steps = torch.floor(numbers * (2 * reach + 1)).long()  # batch 2, from 0 to 2*reach
    if images.is_cuda:
        return _moved(images, steps - reach)
    padded = F.pad(images, (reach, reach, reach, reach), mode="replicate")
    rows = steps[:, :1] + torch.arange(height, device=images.device)  # batch height
    columns = steps[:, 1:] + torch.arange(width, device=images.device)  # batch width
    which = torch.arange(len(images), device=images.device).view(-1, 1, 1)
    return padded.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _moved(
    images: Float[Tensor, "batch 3 height width"], steps: Int64[Tensor, "batch 2"]
) -> Float[Tensor, "batch 3 height width"]:
    """Return what `_shifted` does, as two products with matrices of one 1 per row.

    On a GPU the gradients of padding and of indexing are added up in any order, so two equal runs would differ.
    """
    picked = [
        F.one_hot((place + torch.arange(side, device=images.device)).clamp(0, side - 1), side).to(images.dtype)
        for place, side in zip(steps.unsqueeze(2).unbind(1), images.shape[-2:], strict=True)
    ]  # batch height height, batch width width
    with torch.autocast(images.device.type, enabled=False):
        rows = picked[0].unsqueeze(1) @ images  # batch 3 height width
        return rows @ picked[1].unsqueeze(1).mT


def _cut(
    images: Float[Tensor, "batch 3 height width"], numbers: Float[Tensor, "batch 2"], share: float
) -> Float[Tensor, "batch 3 height width"]:
    """Return the images with a square of 0 each, whose centre may be any pixel."""
    height, width = images.shape[-2:]
    side = max(1, int(share * max(height, width) + 0.5))
    inside = []
    for place, length in zip(numbers.unbind(1), (height, width), strict=True):
        first = torch.floor(place * (length + 1 - side % 2)) - side // 2  # batch
        apart = torch.arange(length, device=images.device) - first[:, None]  # batch length
        inside.append((apart >= 0) & (apart < side))
    square = inside[0][:, None, :, None] & inside[1][:, None, None, :]  # batch 1 height width
    return images.masked_fill(square, 0.0)
