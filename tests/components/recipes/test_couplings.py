"""The flow of a VAE's codes: its density, that it can be turned round, what it learns, and what it refuses."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from components import seeding
from components.recipes.couplings import CodeFlow, FlowConfig, fit_flow
from components.recipes.mixture import MixtureConfig
from components.recipes.vae import VaeConfig


def stirred(latent: int, couplings: int = 4) -> CodeFlow:
    """Return a flow that changes codes, in double precision."""
    with seeding.initialising(0, "test"):
        flow = CodeFlow(FlowConfig(couplings=couplings, width=8), latent).double()
        for value in flow.parameters():
            value += 0.3 * torch.randn_like(value)
        flow.mean.normal_()
        flow.deviation.uniform_(0.5, 2.0)
    return flow


def moons(count: int, seed: int) -> np.ndarray:
    """Return points on two half circles that reach into each other."""
    rng = seeding.numpy_generator(seed, "moons")
    angle, upper = rng.uniform(0, math.pi, count), rng.integers(0, 2, count, endpoint=False).astype(bool)
    x = np.where(upper, np.cos(angle), 1 - np.cos(angle))
    y = np.where(upper, np.sin(angle), 0.5 - np.sin(angle))
    return np.stack([x, y], 1) + 0.1 * rng.standard_normal((count, 2))


def gaussian_log_density(points: np.ndarray, of: np.ndarray) -> float:
    """Return the mean log-density of points under the normal of mean and covariance of others, in nats."""
    covariance, apart = np.cov(of.T), points - of.mean(0)
    squared = np.einsum("ni,ij,nj->n", apart, np.linalg.inv(covariance), apart)
    return float(-0.5 * (squared.mean() + np.linalg.slogdet(2 * math.pi * covariance)[1]))


@pytest.mark.parametrize("latent", [2, 5, 8])
def test_the_density_follows_from_the_determinant_of_the_jacobian(latent):
    flow = stirred(latent)
    codes = torch.randn(3, latent, generator=seeding.torch_generator(1, "test")).double()
    noise, log_determinants = flow(codes)
    for code, one, found in zip(codes, noise, log_determinants, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda given: flow(given[None])[0][0], code)
        expected = torch.linalg.slogdet(jacobian).logabsdet
        torch.testing.assert_close(found, expected)
        normal = torch.distributions.Normal(0.0, 1.0).log_prob(one).sum()
        torch.testing.assert_close(flow.log_density(code[None])[0], normal + expected)


@pytest.mark.parametrize("latent", [2, 5, 8])
def test_it_can_be_turned_round_and_each_number_depends_on_others(latent):
    flow = stirred(latent)
    codes = torch.randn(3, latent, generator=seeding.torch_generator(1, "test")).double()
    noise, _ = flow(codes)
    torch.testing.assert_close(flow.inverse(noise), codes)
    jacobian = torch.autograd.functional.jacobian(lambda given: flow(given[None])[0][0], codes[0])
    assert ((jacobian != 0).sum(1) > 1).sum() >= latent - 1


def test_a_density_sums_to_one():
    flow = stirred(2)
    edge = torch.linspace(-12, 12, 600).double()
    places = torch.cartesian_prod(edge, edge) + flow.mean
    mass = flow.log_density(places).exp().sum() * (edge[1] - edge[0]) ** 2
    assert mass.item() == pytest.approx(1.0, abs=0.01)


def test_codes_that_lie_on_two_moons_are_likelier_than_by_any_one_normal_and_drawn_there():
    training, others = moons(2000, 0), moons(1000, 1)
    flow = fit_flow(training, FlowConfig(width=32, steps=400), seed=0)
    found = flow.log_density(torch.from_numpy(others).float()).mean().item()
    assert found > gaussian_log_density(others, training) + 0.3
    assert found < gaussian_log_density(others, others) + 1.0
    drawn = flow.draw(500, seed=3).double().numpy()
    nearest = np.linalg.norm(drawn[:, None] - training[None], axis=2).min(1)
    rng = seeding.numpy_generator(3, "normal")
    spread = rng.multivariate_normal(training.mean(0), np.cov(training.T), 500)
    from_normal = np.linalg.norm(spread[:, None] - training[None], axis=2).min(1)
    assert nearest.mean() < 0.7 * from_normal.mean()


def test_codes_without_any_shape_are_no_less_likely_than_by_their_own_normals():
    rng = seeding.numpy_generator(0, "test")
    codes, others = 3 + 0.5 * rng.standard_normal((64, 6)), 3 + 0.5 * rng.standard_normal((2000, 6))
    flow = fit_flow(codes, FlowConfig(steps=300), seed=0)
    plain = CodeFlow(FlowConfig(), 6)
    plain.mean.copy_(flow.mean)
    plain.deviation.copy_(flow.deviation)
    given = torch.from_numpy(others).float()
    assert flow.log_density(given).mean() > plain.log_density(given).mean() - 0.5


def test_equal_seeds_give_equal_flows_and_others_other_ones():
    codes = moons(200, 0)
    one, same, other = (fit_flow(codes, FlowConfig(steps=60), seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    assert any(not torch.equal(value, other[name]) for name, value in one.items())
    assert not any(value.requires_grad for value in fit_flow(codes, FlowConfig(steps=1), 1).parameters())


def test_a_code_is_the_same_to_the_bit_whatever_is_drawn_with_it():
    flow = stirred(8).float()
    everyone = flow.draw(300, seed=5)
    assert everyone.dtype == torch.float32
    assert torch.equal(flow.draw(5, seed=5), everyone[:5])
    assert torch.equal(torch.cat([flow.draw(1, seed=5, first=n) for n in range(255, 260)]), everyone[255:260])
    assert not torch.equal(flow.draw(5, seed=6), everyone[:5])


def test_what_cannot_be_fitted_is_refused_before_training():
    config = VaeConfig.model_validate({"flow": {}})
    config.check(16, 16)
    with pytest.raises(ValueError, match=r"recipe.flow for 15 training images, expected at least 16"):
        config.check(16, 15)
    long = {"network": {"kind": "conv", "latent": 1024}, "flow": {"steps": 100_000}}
    with pytest.raises(ValueError, match=r"recipe.flow.steps 100,000 for codes of 1,024 numbers, expected at most"):
        VaeConfig.model_validate(long).check(16)
    with pytest.raises(ValueError, match=r"recipe.flow for codes of 1 number, expected at least 2"):
        VaeConfig.model_validate({"network": {"kind": "conv", "latent": 1}, "flow": {}}).check(16)


def test_codes_that_are_not_finite_are_refused():
    codes = moons(50, 0)
    codes[7, 1] = np.nan
    with pytest.raises(ValueError, match="codes of training images are not finite"):
        fit_flow(codes, FlowConfig(), seed=0)


def test_a_mixture_and_a_flow_together_are_refused():
    with pytest.raises(ValidationError, match="mixture and flow are both given, but new codes are drawn from one"):
        VaeConfig(mixture=MixtureConfig(), flow=FlowConfig())


def test_a_recipe_without_a_flow_is_written_as_before_there_was_one():
    assert "flow" not in VaeConfig().model_dump()
    assert VaeConfig(flow=FlowConfig()).model_dump()["flow"] == {"couplings": 6, "width": 128, "steps": 1500}
