"""The evidence lower bound against torch.distributions and slow obvious versions."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from components.models.vae import SingleLevelVae
from components.objectives.reconstruction import (
    CalibratedSigma,
    FixedSigma,
    bits_per_dimension,
    gaussian_nats,
    level_nats,
)
from components.objectives.variational import VariationalConfig, divergence
from components.recipes.vae import CodedVae, VaeProducer


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_divergence_is_that_of_torch_distributions():
    mean, log_variance = normal(5, 7).double(), normal(5, 7, seed=1).double()
    expected = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(divergence(mean, log_variance), expected)


@pytest.mark.parametrize("sigma", [0.1, 1.0, 2.5])
def test_a_fixed_sigma_gives_the_log_density_of_torch_distributions(sigma):
    decoded, target = normal(4, 3, 2, 2), normal(4, 3, 2, 2, seed=1)
    expected = -Normal(decoded, sigma).log_prob(target).sum((1, 2, 3)).mean()
    torch.testing.assert_close(gaussian_nats(decoded, target, FixedSigma(sigma=sigma)), expected)


def test_sigma_one_is_half_the_squared_error_and_a_constant():
    decoded, target = normal(4, 3, 2, 2), normal(4, 3, 2, 2, seed=1)
    expected = 0.5 * (decoded - target).square().sum((1, 2, 3)).mean() + 6 * math.log(2 * math.pi)
    torch.testing.assert_close(gaussian_nats(decoded, target, FixedSigma()), expected)


def test_the_calibrated_sigma_is_the_best_of_all_that_a_search_tries():
    decoded, target = normal(4, 3, 2, 2), normal(4, 3, 2, 2, seed=1) * 0.3
    best = min(gaussian_nats(decoded, target, FixedSigma(sigma=0.01 * step)).item() for step in range(1, 400))
    assert gaussian_nats(decoded, target, CalibratedSigma(least_log_sigma=-20)).item() == pytest.approx(best, abs=1e-3)


def test_the_gradient_through_the_best_sigma_is_the_one_that_ignores_it():
    target = normal(4, 3, 2, 2, seed=1)
    ours, theirs = (normal(4, 3, 2, 2).requires_grad_() for _ in range(2))
    gaussian_nats(ours, target, CalibratedSigma(least_log_sigma=-20)).backward()
    error = (theirs - target).square()
    log_sigma = 0.5 * error.mean().log()  # the gradient passes through this one
    (0.5 * error * torch.exp(-2 * log_sigma) + log_sigma).sum((1, 2, 3)).mean().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_a_perfect_reconstruction_stays_finite_by_the_soft_bound():
    image = normal(2, 3, 4, 4).requires_grad_()
    nats = gaussian_nats(image, image.detach(), CalibratedSigma())
    nats.backward()
    assert nats.item() == pytest.approx(48 * (-6 + 0.5 * math.log(2 * math.pi)), rel=1e-4)
    assert torch.isfinite(image.grad).all()


def test_bits_of_a_uniform_density_over_the_range_are_the_eight_of_a_byte():
    # 255 levels' distances fill [-1, 1], so a uniform density of 1/2 gives log2(255) bits.
    assert bits_per_dimension(torch.tensor(12 * math.log(2.0)), 12).item() == pytest.approx(math.log2(255), rel=1e-6)


def test_bits_of_a_wide_normal_are_those_of_summing_its_levels():
    sigma, levels = 0.3, torch.arange(256).double() * 2 / 255 - 1
    target = levels[100]
    probability = Normal(0.0, sigma).cdf(target + 1 / 255) - Normal(0.0, sigma).cdf(target - 1 / 255)
    nats = -Normal(0.0, sigma).log_prob(target)
    assert bits_per_dimension(nats, 1).item() == pytest.approx(-math.log2(probability), abs=1e-4)


def test_free_bits_charge_each_latent_number_at_least_their_price():
    mean, log_variance = normal(6, 4) * torch.tensor([0.01, 0.5, 1.0, 3.0]), torch.zeros(6, 4)
    image = torch.zeros(6, 3, 8, 8)
    free, none = (VariationalConfig(free_bits=bits, likelihood=FixedSigma()) for bits in (0.25, 0.0))
    charged = sum(max(0.25 * math.log(2), sum(0.5 * mean[i, j].item() ** 2 for i in range(6)) / 6) for j in range(4))
    with_free = free.losses(image, image, mean, log_variance, 0)["loss"].item()
    distortion = none.losses(image, image, torch.zeros(6, 4), log_variance, 0)["loss"].item()
    assert with_free - distortion == pytest.approx(charged, rel=1e-4)


LEVELS = torch.arange(256).double() / 127.5 - 1


@pytest.mark.parametrize("sigma", [1e-4, 1 / 255, 0.05, 2.0])
@pytest.mark.parametrize("mean", [-1.0, -0.9985, 0.1234, 1.0])
def test_the_probabilities_of_the_256_levels_sum_to_one(sigma, mean):
    every = LEVELS.view(256, 1, 1, 1).expand(256, 3, 1, 1)
    nats = level_nats(torch.full_like(every, mean), every, sigma) / 3
    assert torch.exp(-nats).sum().item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("level", [0, 1, 100, 254, 255])
def test_the_probability_of_a_level_is_the_mass_of_the_normal_around_it(level):
    mean, sigma = 0.05, 0.7
    low = -math.inf if level == 0 else LEVELS[level].item() - 1 / 255
    high = math.inf if level == 255 else LEVELS[level].item() + 1 / 255
    mass = 0.5 * (math.erf((high - mean) / sigma / math.sqrt(2)) - math.erf((low - mean) / sigma / math.sqrt(2)))
    shape = (1, 3, 1, 1)
    nats = level_nats(torch.full(shape, mean).double(), LEVELS[level].expand(shape), sigma)
    assert nats.item() == pytest.approx(-3 * math.log(mass), rel=1e-9)


def test_a_level_far_from_a_narrow_normal_is_unlikely_and_not_impossible():
    nats = level_nats(torch.full((1, 3, 1, 1), -1.0), torch.full((1, 3, 1, 1), 0.5), 1e-3)
    assert nats.item() == pytest.approx(3 * 0.5 * (1.5 / 1e-3) ** 2, rel=0.01)


class Half(nn.Module):
    """The exact posterior of x = s z + σ ε in one direction of the picture: means, then log-variances."""

    def __init__(self, slope: float, sigma: float, values: int) -> None:
        super().__init__()
        precision = 1 + values * slope**2 / sigma**2
        self.gain, self.log_variance = slope / sigma**2 / precision, -math.log(precision)

    def forward(self, image):
        mean = self.gain * image.flatten(1).sum(1, keepdim=True)
        return torch.cat([mean, torch.full_like(mean, self.log_variance)], dim=1)


class Spread(nn.Module):
    """One number to all values of a 2 x 2 picture; undoes the tanh that follows."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))

    def forward(self, code):
        return torch.atanh((self.slope * code).clamp(-0.999, 0.999)).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)


def test_with_the_exact_posterior_the_bound_is_the_marginal_likelihood():
    # Probabilistic principal component analysis, of which everything is known: x ~ N(0, s² 11ᵀ + σ² I).
    slope, sigma, count = 0.2, 0.1, 4000
    vae = SingleLevelVae(
        1,
        encoder=nn.Identity(),
        posterior=Half(slope, sigma, 12),
        expand=nn.Identity(),
        decoder=Spread(slope),
        last=nn.Identity(),
    )
    pictures = (slope * normal(count, 1) + sigma * normal(count, 12, seed=1)).clamp(-1, 1)
    pixels = ((pictures + 1) * 127.5).round().to(torch.uint8).view(count, 3, 2, 2).permute(0, 2, 3, 1).numpy()
    bound = VaeProducer(CodedVae(vae, FixedSigma())).bound(pixels, pixels, seed=0)
    covariance = slope**2 * torch.ones(12, 12) + sigma**2 * torch.eye(12)
    density = MultivariateNormal(torch.zeros(12), covariance).log_prob(pictures).double().numpy()
    exact = -density - 12 * math.log(2 / 255)
    found = bound.distortion + bound.rate
    error = (found - exact).std() / math.sqrt(count)
    assert error < 0.05
    assert abs((found - exact).mean()) < 4 * error + 0.01
    assert np.corrcoef(found, exact)[0, 1] > 0.7
