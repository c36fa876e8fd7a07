"""Adversarial losses: what generator and discriminator play for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar, Literal, NamedTuple

from jaxtyping import Float
from pydantic import Field

from components.deferred.torch import F, Tensor, torch
from components.objectives.penalty import (
    Differentiated,
    Discriminator,
    between,
    slope_beside_one,
    squared_slope,
    with_slopes,
)
from components.ramp import half_cosine
from components.section import Section

Logits = Float[Tensor, "*shape"]
"""One per image, or a map per image."""


class DiscriminatorTerms(NamedTuple):
    """What one pass of the discriminator over real and made images gives."""

    loss: Float[Tensor, ""]
    """To minimise, penalty included."""
    penalty: Float[Tensor, ""]
    """The weighted penalties alone."""
    real_logits: Logits
    fake_logits: Logits


class FadeConfig(Section):
    """How penalties shrink while training goes on, along half a cosine."""

    images: int = Field(gt=0)
    """Images over which they shrink, after which they stay."""
    final_fraction: float = Field(default=0.1, ge=0, le=1)
    """Fraction that is left; a tenth in R3GAN."""

    def factor(self, images: int) -> float:
        """Return the factor on the penalties after `images` images."""
        return half_cosine(1.0, self.final_fraction, images / self.images)


class Adversarial(Section, ABC):
    """The part that all adversarial losses share: three gradient penalties, each off at weight 0."""

    r1: float = Field(default=0.0, ge=0)
    """γ of R1: γ/2 times the squared slope of the discriminator at real images."""
    r2: float = Field(default=0.0, ge=0)
    """γ of R2: the same at made images."""
    gradient_penalty: float = Field(default=0.0, ge=0)
    """λ of the squared difference to 1 of the slope between real and made images."""
    penalty_every: int = Field(default=1, ge=1)
    """Take the penalties on each n-th discriminator step only, n times as heavy: they cost about as much as the rest
    of the step. Lazy regularisation, Karras et al. 2020, section 3.1, https://arxiv.org/abs/1912.04958."""
    penalty_fade: FadeConfig | None = None
    """How the penalties shrink; None: they do not."""

    needs_real_for_generator: ClassVar[bool] = False
    """Whether `generator_loss` compares with the logits of real images."""

    @property
    def needs_penalty(self) -> bool:
        """Whether `penalty` can be other than 0."""
        return self.r1 > 0 or self.r2 > 0 or self.gradient_penalty > 0

    def at(self, images: int, batch: int) -> "Adversarial":
        """Return the loss of the step that begins after `images` images, in batches of `batch`.

        It has the penalties that are due, as heavy as they are by then, or none.
        """
        if self.penalty_every == 1 and self.penalty_fade is None:
            return self
        weight = self.penalty_weight(images, batch)
        penalties = {name: weight * getattr(self, name) for name in ("r1", "r2", "gradient_penalty")}
        return self.model_copy(update=penalties)

    def penalty_weight(self, images: int, batch: int) -> float:
        """Return the factor on the penalties in the step that begins after `images` images; 0 if none is due."""
        weight = 0.0 if images // batch % self.penalty_every else float(self.penalty_every)
        return weight if self.penalty_fade is None else weight * self.penalty_fade.factor(images)

    @abstractmethod
    def discriminator_loss(self, real_logits: Logits, fake_logits: Logits) -> Float[Tensor, ""]:
        """Return the mean loss, without penalties, of a discriminator that gave these logits, of any equal shapes."""

    @abstractmethod
    def generator_loss(self, fake_logits: Logits, real_logits: Logits | None = None) -> Float[Tensor, ""]:
        """Return the mean loss of a generator whose images got `fake_logits`.

        Args:
            fake_logits: Of any shape.
            real_logits: Those of as many real images; read only where `needs_real_for_generator`.
        """

    def penalty(
        self,
        discriminator: Discriminator,
        real: Float[Tensor, "batch 3 height width"],
        fake: Float[Tensor, "batch 3 height width"],
        mix: Float[Tensor, " batch"],
        differentiated: Differentiated = with_slopes,
    ) -> Float[Tensor, ""]:
        """Return the weighted sum of the penalties, 0 where none is on; differentiable, for the same backward pass.

        Runs the discriminator again; `discriminator_terms` does not.

        Args:
            discriminator: Returns logits; must judge each image by itself.
            real: Real images.
            fake: Made images; no gradient reaches them.
            mix: Uniform in [0, 1], where between real and made `gradient_penalty` looks.
            differentiated: The pass that gives slopes, which may be a compiled one.
        """
        total = torch.zeros((), device=real.device)
        if self.gradient_penalty:
            slopes = differentiated(discriminator, between(real, fake, mix)).slopes
            total = self.gradient_penalty * slope_beside_one(slopes)
        if self.r1:
            total = total + self.r1 / 2 * squared_slope(differentiated(discriminator, real).slopes)
        if self.r2:
            total = total + self.r2 / 2 * squared_slope(differentiated(discriminator, fake).slopes)
        return total

    def discriminator_terms(
        self,
        discriminator: Discriminator,
        real: Float[Tensor, "batch 3 height width"],
        fake: Float[Tensor, "batch 3 height width"],
        mix: Float[Tensor, " batch"],
        differentiated: Differentiated = with_slopes,
    ) -> DiscriminatorTerms:
        """Return `discriminator_loss` + `penalty` from one pass over real and made images together.

        R1 and R2 are taken from the logits of that same pass, which saves one or two passes of `penalty`.
        """
        images = torch.cat([real, fake]).detach()  # 2*batch 3 height width
        if self.r1 or self.r2:
            logits, slopes = differentiated(discriminator, images)  # 2*batch ..., 2*batch values
        else:
            logits = discriminator(images).float()
        penalty = self.model_copy(update={"r1": 0, "r2": 0}).penalty(discriminator, real, fake, mix, differentiated)
        if self.r1 or self.r2:
            real_slopes, fake_slopes = slopes.chunk(2)
            penalty = penalty + self.r1 / 2 * squared_slope(real_slopes) + self.r2 / 2 * squared_slope(fake_slopes)
        real_logits, fake_logits = logits.chunk(2)
        loss = self.discriminator_loss(real_logits, fake_logits) + penalty
        return DiscriminatorTerms(loss, penalty, real_logits, fake_logits)


class PointwiseAdversarial(Adversarial):
    """A loss that judges each logit by itself, so that a map of logits can mix real and made places."""

    @abstractmethod
    def real_terms(self, logits: Logits) -> Logits:
        """Return the discriminator's loss of each logit that should say real."""

    @abstractmethod
    def fake_terms(self, logits: Logits) -> Logits:
        """Return the discriminator's loss of each logit that should say made."""

    def discriminator_loss(self, real_logits: Logits, fake_logits: Logits) -> Float[Tensor, ""]:
        """Return the mean of `real_terms` plus the mean of `fake_terms`."""
        return self.real_terms(real_logits).mean() + self.fake_terms(fake_logits).mean()


class _CrossEntropy(PointwiseAdversarial):
    """Binary cross-entropy on logits x: -log sigmoid(x) = softplus(-x) and -log(1 - sigmoid(x)) = softplus(x)."""

    def real_terms(self, logits: Logits) -> Logits:
        """Return -log D."""
        return F.softplus(-logits)

    def fake_terms(self, logits: Logits) -> Logits:
        """Return -log(1 - D)."""
        return F.softplus(logits)


class Minimax(_CrossEntropy):
    """The zero-sum game of Goodfellow et al. 2014, equation 1, https://arxiv.org/abs/1406.2661."""

    kind: Literal["minimax"] = "minimax"

    def generator_loss(self, fake_logits: Logits, real_logits: Logits | None = None) -> Float[Tensor, ""]:  # noqa: ARG002
        """Return the mean of log(1 - D), which is negative and flat where the discriminator is sure."""
        return -F.softplus(fake_logits).mean()


class NonSaturating(_CrossEntropy):
    """Binary cross-entropy where the generator maximises log D, Goodfellow et al. 2014, section 3."""

    kind: Literal["non_saturating"] = "non_saturating"

    def generator_loss(self, fake_logits: Logits, real_logits: Logits | None = None) -> Float[Tensor, ""]:  # noqa: ARG002
        """Return the mean of -log D."""
        return F.softplus(-fake_logits).mean()


class Hinge(PointwiseAdversarial):
    """Margins of Lim and Ye 2017, https://arxiv.org/abs/1705.02894: logits beyond ±1 on the right side cost nothing."""

    kind: Literal["hinge"] = "hinge"

    def real_terms(self, logits: Logits) -> Logits:
        """Return max(0, 1 - x)."""
        return F.relu(1 - logits)

    def fake_terms(self, logits: Logits) -> Logits:
        """Return max(0, 1 + x)."""
        return F.relu(1 + logits)

    def generator_loss(self, fake_logits: Logits, real_logits: Logits | None = None) -> Float[Tensor, ""]:  # noqa: ARG002
        """Return the negative mean logit."""
        return -fake_logits.mean()


class Wasserstein(PointwiseAdversarial):
    """The Wasserstein distance of Arjovsky et al. 2017, https://arxiv.org/abs/1701.07875, with a gradient penalty."""

    kind: Literal["wasserstein"] = "wasserstein"
    gradient_penalty: float = Field(default=10.0, ge=0)
    """λ of the squared difference to 1 of the slope between real and made images; 10 in Gulrajani et al. 2017."""

    def real_terms(self, logits: Logits) -> Logits:
        """Return -x."""
        return -logits

    def fake_terms(self, logits: Logits) -> Logits:
        """Return x."""
        return logits

    def generator_loss(self, fake_logits: Logits, real_logits: Logits | None = None) -> Float[Tensor, ""]:  # noqa: ARG002
        """Return the negative mean logit."""
        return -fake_logits.mean()


class Relativistic(Adversarial):
    """Real and made images in pairs: R3GAN, Huang et al. 2024, section 2, https://arxiv.org/abs/2501.05441.

    The pairing is Jolicoeur-Martineau 2018's, https://arxiv.org/abs/1807.00734; R1 and R2 make it converge.
    """

    kind: Literal["relativistic"] = "relativistic"
    r1: float = Field(default=0.05, ge=0)
    """γ of R1 at real images; 0.05 is R3GAN's start for 32 px, and more pixels need more."""
    r2: float = Field(default=0.05, ge=0)
    """γ of R2 at made images; equal to `r1` in R3GAN."""

    needs_real_for_generator: ClassVar[bool] = True

    def discriminator_loss(self, real_logits: Logits, fake_logits: Logits) -> Float[Tensor, ""]:
        """Return the mean of softplus(-(real - made)) over pairs."""
        return F.softplus(fake_logits - real_logits).mean()

    def generator_loss(self, fake_logits: Logits, real_logits: Logits | None = None) -> Float[Tensor, ""]:
        """Return the mean of softplus(-(made - real)) over pairs.

        Raises:
            ValueError: `real_logits` is None.
        """
        if real_logits is None:
            raise ValueError("found no logits of real images, expected as many as of made ones: they are compared")
        return F.softplus(real_logits - fake_logits).mean()


AdversarialConfig = Annotated[Minimax | NonSaturating | Hinge | Wasserstein | Relativistic, Field(discriminator="kind")]
PointwiseConfig = Annotated[Minimax | NonSaturating | Hinge | Wasserstein, Field(discriminator="kind")]
