"""The negative evidence lower bound of a variational autoencoder, with the usual ways to tame its second half."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

from jaxtyping import Float
from pydantic import Field

from components.deferred.torch import Tensor, torch
from components.distributed import all_reduce_sum, processes
from components.objectives.features import FeatureLossConfig
from components.objectives.likelihood import Pictures, Said
from components.objectives.logistic import LogisticMixture
from components.objectives.reconstruction import CalibratedSigma, FixedSigma
from components.section import Grown

LikelihoodConfig = Annotated[FixedSigma | CalibratedSigma | LogisticMixture, Field(discriminator="kind")]


class VariationalConfig(Grown):
    """Reconstruction error, plus the distance of the code from a standard normal."""

    likelihood: LikelihoodConfig = CalibratedSigma()
    """How far pixels stray from the decoded ones."""
    beta: float = Field(default=1.0, ge=0)
    """Weight of the divergence; 1 is the bound itself, more gives tidier codes and blurrier images.
    Higgins et al. 2017, https://openreview.net/forum?id=Sy2fzU9gl."""
    warm_up_images: int = Field(default=0, ge=0)
    """Images over which the weight rises linearly from 0 to `beta`, so that the code is used before it is taxed.
    Sønderby et al. 2016, https://arxiv.org/abs/1602.02282."""
    free_bits: float = Field(default=0.0, ge=0)
    """Bits per latent number, on average over the batch, below which divergence is not reduced further.
    Kingma et al. 2016, https://arxiv.org/abs/1606.04934."""
    features: FeatureLossConfig | None = None
    """Distance as a trained network sees it, beside the bound; None: off."""

    ADDED: ClassVar[frozenset[str]] = frozenset({"features"})

    def weight(self, images: int) -> float:
        """Return the weight of the divergence after `images` images."""
        return self.beta * min(1.0, images / self.warm_up_images) if self.warm_up_images else self.beta

    def losses(
        self,
        said: Said,
        target: Pictures,
        mean: Float[Tensor, "batch latent"],
        log_variance: Float[Tensor, "batch latent"],
        images: int,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return named scalars: "loss" to minimise, in nats per image, and detached ones to report.

        "distortion" is the reconstruction's nats per image, "rate_bits" the code's bits per image, "bound_bits" the
        whole bound in bits per colour value (`Likelihood.bits`), without weights and free bits, "rmse" the root of
        the mean squared error in units of [-1, 1].

        Args:
            said: What is decoded, as the likelihood reads it.
            target: True images in [-1, 1].
            mean: Of the code.
            log_variance: Natural logarithm of the code's variance.
            images: Images seen so far, for the warm-up.
        """
        distortion = self.likelihood.nats(said, target)
        per_number = divergence(mean, log_variance)  # batch latent
        charged = self._charged(per_number.mean(0)).sum()
        rate = per_number.sum(1).mean().detach()
        return {
            "loss": distortion + self.weight(images) * charged,
            "distortion": distortion.detach(),
            "rate_bits": rate / math.log(2),
            "bound_bits": self.likelihood.bits(distortion.detach() + rate, target[0].numel()),
            "rmse": (self.likelihood.picture(said.detach()) - target).square().mean().sqrt(),
        }

    def _charged(self, batch_mean: Float[Tensor, " latent"]) -> Float[Tensor, " latent"]:
        if not self.free_bits:
            return batch_mean
        joined = all_reduce_sum(batch_mean) / processes()
        return joined.clamp_min(self.free_bits * math.log(2))


def divergence(
    mean: Float[Tensor, "batch latent"], log_variance: Float[Tensor, "batch latent"]
) -> Float[Tensor, "batch latent"]:
    """Return the Kullback-Leibler divergence of each latent number's normal from the standard one, in nats.

    Kingma and Welling 2014, appendix B, https://arxiv.org/abs/1312.6114.
    """
    return 0.5 * (mean.square() + torch.expm1(log_variance) - log_variance)
