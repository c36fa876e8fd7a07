"""Mixture: a Gaussian mixture fitted to a trained VAE's codes, from which new codes are drawn.

The codes of real images do not fill the prior evenly, so images decoded from the prior lie partly where the decoder
never learnt. Ex-post density estimation: Ghosh et al. 2020, https://arxiv.org/abs/1903.12436.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from pydantic import Field

from components import seeding
from components.deferred.torch import Module, Tensor, torch
from components.section import Section

_MOST_CODES = 20_000
_MOST_NUMBERS = 2**25  # of all covariances: 134 MB in the export, and some gigabytes while they are fitted


class MixtureConfig(Section):
    """How closely the mixture follows the codes."""

    components: int = Field(default=10, ge=1, le=1000)
    """Normals in the mixture, each with a full covariance; fewer than a tenth of the training images."""
    least_variance: float = Field(default=1e-3, gt=0)
    """Added to every variance, so that no normal shrinks to a few codes."""

    def check(self, latent: int, codes: int | None = None) -> None:
        """Raise ValueError unless the covariances fit into memory and `codes`, if known, are ten for each normal."""
        if self.components * latent**2 > _MOST_NUMBERS:
            raise ValueError(
                f"recipe.mixture.components {self.components} for codes of {latent:,} numbers, expected at most "
                f"{_MOST_NUMBERS // latent**2}, because each normal holds {latent:,} x {latent:,} covariances"
            )
        if codes is not None and codes < 10 * self.components:
            raise ValueError(
                f"recipe.mixture.components {self.components} for {codes} training images, expected at least ten "
                "images for each"
            )


class Mixture(Module):
    """Weights, means and Cholesky factors as buffers, so that they travel with the weights of the network."""

    weights: Tensor
    means: Tensor
    factors: Tensor

    def __init__(self, components: int, latent: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.full((components,), 1 / components))
        self.register_buffer("means", torch.zeros(components, latent))
        self.register_buffer("factors", torch.eye(latent).repeat(components, 1, 1))

    def draw(self, samples: int, seed: int, first: int = 0) -> Float[Tensor, "samples latent"]:
        """Return the codes numbered `first` and on, on the CPU; one stream each, so that more samples extend fewer.

        Raises:
            ValueError: No samples are asked for.
        """
        if samples < 1:
            raise ValueError(f"{samples} pictures were asked for, expected at least 1")
        numbers = range(first, first + samples)
        return torch.stack([self._one(seeding.torch_generator(seed, "code", number)) for number in numbers])

    def _one(self, generator: torch.Generator) -> Float[Tensor, " latent"]:
        normal = int(torch.multinomial(self.weights.cpu(), 1, generator=generator))
        noise = torch.randn(self.means.shape[1], generator=generator)
        return self.means[normal].cpu() + self.factors[normal].cpu() @ noise


def fit_mixture(codes: Float[np.ndarray, "codes latent"], config: MixtureConfig, seed: int) -> Mixture:
    """Return the mixture that expectation maximisation finds for `codes`; at most 20,000 of them are looked at.

    Raises:
        ValueError: There are too few codes for so many normals.
    """
    from sklearn.mixture import GaussianMixture  # here: it adds a second to the start of every process

    config.check(codes.shape[1], len(codes))
    rng = seeding.numpy_generator(seed, "mixture")
    chosen = codes if len(codes) <= _MOST_CODES else codes[rng.choice(len(codes), _MOST_CODES, replace=False)]
    found = GaussianMixture(
        config.components,
        covariance_type="full",
        reg_covar=config.least_variance,
        random_state=int(rng.integers(2**31)),
    ).fit(chosen)
    mixture = Mixture(config.components, codes.shape[1])
    mixture.weights.copy_(torch.from_numpy(found.weights_))
    mixture.means.copy_(torch.from_numpy(found.means_))
    mixture.factors.copy_(torch.from_numpy(np.linalg.cholesky(found.covariances_)))
    return mixture
