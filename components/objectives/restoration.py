"""Losses of a network that mends images: distance, smoothness, and a game on patches that knows the mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from jaxtyping import Float
from pydantic import Field

from components.deferred.torch import F, Tensor, torch
from components.objectives.adversarial import Hinge, PointwiseAdversarial, PointwiseConfig
from components.section import Grown, Section

_LEAST_ERROR = 4e-4


class RestorationConfig(Grown):
    """Weighted distance between mended and true image. Means run over all pixels of the batch, or over its images.

    So the mean over equal batches of several processes is that of the joined batch, which dividing by the batch's
    number of missing pixels would not give.
    """

    hole_weight: float = Field(default=6.0, ge=0)
    """Weight of missing pixels' absolute error; 6 to 1 in Liu et al. 2018, https://arxiv.org/abs/1804.07723."""
    valid_weight: float = Field(default=1.0, ge=0)
    """Weight of known pixels' absolute error."""
    squared_weight: float = Field(default=0.0, ge=0)
    """Weight of every pixel's squared error. An absolute error alone is at rest where most pixels are right already,
    so damage to few pixels that no mask marks, such as scratches, is learnt much faster with a weight of about 10."""
    psnr_weight: float = Field(default=0.0, ge=0)
    """Weight of the mean over images of ln(MSE + 0.0001), the mean squared error of missing pixels in [0, 1], after the
    PSNR loss of Chen et al. 2022, https://arxiv.org/abs/2204.04676: small holes count as much as large ones, as they do
    in psnr_hole. Best with `valid_weight` 0: else a gated network may learn to change no pixel at all, which is easier,
    and with `hole_weight` 0, for a network whose fill is good already."""
    psnr_full_weight: float = Field(default=0.0, ge=0)
    """Weight of the same over all pixels of each image, missing or not: for models that restore everything, so that
    slight damage counts as much as heavy damage. Images without any then weigh most: where they are many, a network
    may rest at changing nothing, and `squared_weight` is the better start."""
    total_variation: float = Field(default=0.0, ge=0)
    """Weight of the difference of neighbouring pixels where one is missing; 0.1 in Liu et al. 2018."""

    ADDED: ClassVar[frozenset[str]] = frozenset({"psnr_full_weight"})

    def losses(
        self,
        restored: Float[Tensor, "batch 3 height width"],
        target: Float[Tensor, "batch 3 height width"],
        missing: Float[Tensor, "batch 1 height width"],
    ) -> dict[str, Float[Tensor, ""]]:
        """Return named scalars: "loss" to minimise, and detached "hole_l1" and "valid_l1" per pixel of the batch.

        Args:
            restored: The network's whole image in [-1, 1].
            target: The true image in [-1, 1].
            missing: 1 where missing, else 0.
        """
        error = (restored - target).abs()
        hole, valid = (error * missing).mean(), (error * (1 - missing)).mean()
        loss = self.hole_weight * hole + self.valid_weight * valid
        if self.squared_weight:
            loss = loss + self.squared_weight * error.square().mean()
        if self.psnr_weight:
            loss = loss + self.psnr_weight * log_squared_error(error, missing)
        if self.psnr_full_weight:
            loss = loss + self.psnr_full_weight * log_squared_error(error, torch.ones_like(missing))
        if self.total_variation:
            loss = loss + self.total_variation * total_variation(composite(restored, target, missing), missing)
        return {"loss": loss, "hole_l1": hole.detach(), "valid_l1": valid.detach()}


def log_squared_error(
    error: Float[Tensor, "batch 3 height width"], missing: Float[Tensor, "batch 1 height width"]
) -> Float[Tensor, ""]:
    """Return the mean over images of ln(mean squared error of missing pixels); an image that misses none counts as 0.

    Errors below 1 % of the range of [-1, 1] are hardly told apart, so that no image already right rules the batch.
    """
    channels = error.shape[1]
    share = missing.mean(dim=(1, 2, 3))  # batch
    squared = (error * missing).square().sum(dim=1).mean(dim=(1, 2)) / channels / share.clamp_min(1e-9)
    return torch.where(share > 0, torch.log(squared + _LEAST_ERROR), 0.0).mean()


class MaskAwareConfig(Section):
    """A game on patches in which the known parts of a mended image count as real."""

    game: PointwiseConfig = Hinge()
    """What discriminator and inpainter play for at each patch."""
    feature_matching: float = Field(default=0.0, ge=0)
    """Weight of the distance between the discriminator's features of mended and true images; 100 beside an
    adversarial weight of 10 in LaMa, Suvorov et al. 2022, https://arxiv.org/abs/2109.07161."""

    def discriminator_loss(
        self,
        real_logits: Float[Tensor, "batch 1 rows columns"],
        fake_logits: Float[Tensor, "batch 1 rows columns"],
        missing: Float[Tensor, "batch 1 height width"],
    ) -> Float[Tensor, ""]:
        """Return the mean loss of a discriminator that should tell mended patches from all others."""
        return mask_aware_loss(self.game, real_logits, fake_logits, missing)

    def generator_loss(self, fake_logits: Float[Tensor, "batch 1 rows columns"]) -> Float[Tensor, ""]:
        """Return the mean loss of an inpainter whose images got these logits."""
        return self.game.generator_loss(fake_logits)


def mask_aware_loss(
    game: PointwiseAdversarial,
    real_logits: Float[Tensor, "batch 1 rows columns"],
    fake_logits: Float[Tensor, "batch 1 rows columns"],
    missing: Float[Tensor, "batch 1 height width"],
) -> Float[Tensor, ""]:
    """Return the discriminator's mean loss where patches without any missing pixel count as real.

    LaMa's `mask_as_fake_target`, Suvorov et al. 2022, https://arxiv.org/abs/2109.07161: a
    discriminator asked to call known pixels made learns nothing true. A patch is mended where any pixel of its cell,
    the part of the image that maps to its place, is missing.
    """
    mended = patches_with(missing, fake_logits)  # batch 1 rows columns
    on_fake = mended * game.fake_terms(fake_logits) + (1 - mended) * game.real_terms(fake_logits)
    return game.real_terms(real_logits).mean() + on_fake.mean()


def patches_with(
    missing: Float[Tensor, "batch 1 height width"], logits: Float[Tensor, "batch 1 rows columns"]
) -> Float[Tensor, "batch 1 rows columns"]:
    """Return 1 for each place of `logits` whose cell of the image misses a pixel, else 0."""
    return F.adaptive_max_pool2d(missing, logits.shape[-2:]).to(logits.dtype)


def composite(
    restored: Float[Tensor, "batch 3 height width"],
    target: Float[Tensor, "batch 3 height width"],
    missing: Float[Tensor, "batch 1 height width"],
) -> Float[Tensor, "batch 3 height width"]:
    """Return `restored` where missing and `target` elsewhere."""
    return missing * restored + (1 - missing) * target


def total_variation(
    image: Float[Tensor, "batch 3 height width"], missing: Float[Tensor, "batch 1 height width"]
) -> Float[Tensor, ""]:
    """Return the mean absolute difference of horizontal plus that of vertical neighbours, of which one is missing.

    Pairs of known pixels count as 0, after Liu et al. 2018, https://arxiv.org/abs/1804.07723.
    """
    across = torch.maximum(missing[..., 1:], missing[..., :-1]) * (image[..., 1:] - image[..., :-1]).abs()
    down = torch.maximum(missing[..., 1:, :], missing[..., :-1, :]) * (image[..., 1:, :] - image[..., :-1, :]).abs()
    return across.mean() + down.mean()


def feature_distance(
    fake_features: Sequence[Float[Tensor, "batch ..."]], real_features: Sequence[Float[Tensor, "batch ..."]]
) -> Float[Tensor, ""]:
    """Return the mean over layers of the mean squared difference of a discriminator's features.

    Feature matching of Wang et al. 2018, section 3.2, https://arxiv.org/abs/1711.11585, squared as in LaMa. No
    gradient reaches `real_features`.

    Raises:
        ValueError: The two have different numbers of layers, or none.
    """
    if not fake_features or len(fake_features) != len(real_features):
        raise ValueError(
            f"found features of {len(fake_features)} and {len(real_features)} layers, expected equally many, at least 1"
        )
    layers = zip(fake_features, real_features, strict=True)
    return torch.stack([F.mse_loss(fake.float(), real.detach().float()) for fake, real in layers]).mean()
