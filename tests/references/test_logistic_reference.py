"""The mixture of logistics against a slow obvious version, and against what must hold of any probability."""

import math

import pytest
import torch

from components.objectives.logistic import LogisticMixture, log_mass

LEVELS = torch.arange(256).double() / 127.5 - 1
FEW = LogisticMixture(components=2)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def mass(mean, scale, number):
    """Probability of level `number`, straight from the distribution function."""
    high = 1.0 if number == 255 else sigmoid((LEVELS[number].item() + 1 / 255 - mean) / scale)
    low = 0.0 if number == 0 else sigmoid((LEVELS[number].item() - 1 / 255 - mean) / scale)
    return high - low


def probability(said, pixel, components):
    """Probability of a pixel's three levels, component by component and channel by channel, as its definition reads."""
    weight, means, scales, coefficients = said[:components], *said[components:].view(3, 3, components)
    red, green, _ = (LEVELS[number].item() for number in pixel)
    total = 0.0
    for k in range(components):
        move = torch.tanh(coefficients[:, k]).tolist()
        centres = means[:, k].tolist()
        centres[1] += move[0] * red
        centres[2] += move[1] * red + move[2] * green
        each = [mass(centres[c], math.exp(max(scales[c, k].item() - 2, -7)), pixel[c]) for c in range(3)]
        total += torch.softmax(weight, 0)[k].item() * math.prod(each)
    return total


def test_it_is_the_slow_obvious_probability_of_every_pixel():
    said = normal(3, FEW.numbers, 4, 4)
    said[:, 8:14] += 2  # wide, so that differences of the distribution function have all their digits
    numbers = torch.randint(256, (3, 3, 4, 4), generator=torch.Generator().manual_seed(1))
    numbers[0, :, 0, 0], numbers[0, :, 0, 1] = torch.tensor([0, 255, 7]), torch.tensor([255, 0, 255])
    expected = [
        -sum(
            math.log(probability(said[image, :, row, column], numbers[image, :, row, column].tolist(), 2))
            for row in range(4)
            for column in range(4)
        )
        for image in range(3)
    ]
    found = FEW.level_nats(said, LEVELS[numbers])
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=0)
    held_out = FEW.of_levels([])(said.float(), LEVELS[numbers].float())
    torch.testing.assert_close(held_out, found, rtol=1e-5, atol=0)
    assert FEW.nats(said.float(), LEVELS[numbers].float()).item() == pytest.approx(found.mean().item(), rel=1e-5)


@pytest.mark.parametrize("log_scale", [-7.0, -4.0, -1.0, 3.0])
@pytest.mark.parametrize("mean", [-1.5, -1.0, 0.1234, 1.0, 40.0])
def test_the_probabilities_of_the_256_levels_sum_to_one(mean, log_scale):
    logs = log_mass(torch.full((256,), mean).double(), torch.full((256,), log_scale).double(), LEVELS)
    assert torch.exp(logs).sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("red", [0, 100, 255])
def test_those_of_all_greens_and_blues_sum_to_what_the_mixture_says_of_red_alone(red):
    said = 0.3 * normal(1, FEW.numbers, 1, 1)
    others = torch.cartesian_prod(torch.arange(256), torch.arange(256))
    colours = torch.cat([torch.full((len(others), 1), red), others], 1)
    nats = FEW.level_nats(said.expand(len(colours), -1, 1, 1), LEVELS[colours][..., None, None])
    weights, means, log_scales = (said[0, start : start + 2, 0, 0] for start in (0, 2, 8))
    each = [mass(mean.item(), math.exp(scale.item() - 2), red) for mean, scale in zip(means, log_scales, strict=True)]
    alone = (weights.softmax(0) * torch.tensor(each)).sum().item()
    assert torch.exp(-nats).sum().item() == pytest.approx(alone, rel=1e-6)


@pytest.mark.parametrize("mean", [-60.0, -1.0, 0.0, 3.0, 60.0])
def test_a_level_far_away_is_unlikely_and_its_slope_stays_finite_in_float32(mean):
    given, log_scale = torch.full((256,), mean, requires_grad=True), torch.full((256,), -9.0, requires_grad=True)
    logs = log_mass(given, log_scale.clamp_min(-7), LEVELS.float())
    logs.sum().backward()
    assert torch.isfinite(logs).all()
    assert torch.isfinite(given.grad).all()
    assert torch.isfinite(log_scale.grad).all()


def test_the_picture_is_the_mean_of_many_draws():
    said = normal(1, FEW.numbers, 2, 2) * 0.3
    said[:, 8:14] -= 3  # narrow, so that the open ends cut nothing off
    draws = torch.stack([drawn(said, seed) for seed in range(4000)])
    error = draws.std(0) / math.sqrt(len(draws))
    assert ((draws.mean(0) - FEW.picture(said)[0]).abs() < 5 * error + 1e-6).all()


def drawn(said, seed):
    """One picture: of each pixel a component, then red, green told of red, blue told of both."""
    generator = torch.Generator().manual_seed(seed)
    weights, means, scales, coefficients = said[0].view(10, 2, 2, 2).split([1, 3, 3, 3])
    chosen = torch.multinomial(weights[0].softmax(0).flatten(1).T, 1, generator=generator).T.view(1, 1, 2, 2)
    mean, scale, move = (
        part.gather(1, chosen.expand(3, 1, 2, 2))[:, 0] for part in (means, (scales - 2).exp(), coefficients.tanh())
    )
    uniform = torch.rand(3, 2, 2, generator=generator, dtype=torch.float64)
    red, green, blue = mean + scale * (uniform / (1 - uniform)).log()
    green = green + move[0] * red
    return torch.stack([red, green, blue + move[1] * red + move[2] * green])


def test_bits_per_colour_value_are_nats_over_their_number():
    assert FEW.bits(torch.tensor(12 * math.log(256)), 12).item() == pytest.approx(8)


def test_red_tells_of_green_and_blue():
    # Grey pictures of all brightnesses: a decoder that says nothing of a pixel but that its channels are equal.
    grey = LEVELS[torch.randint(256, (64, 1, 2, 2), generator=torch.Generator().manual_seed(0))].expand(64, 3, 2, 2)
    said = torch.zeros(1, LogisticMixture(components=1).numbers, 2, 2).double()
    said[:, 4] = 1.0  # the scale of red
    alone = said.clone()
    said[:, 5:7] = -5.0
    said[:, 7] = said[:, 9] = 20.0  # green is red, and blue is green
    likelihood = LogisticMixture(components=1)
    bits = [
        likelihood.bits(likelihood.of_levels([])(one.expand(64, -1, 2, 2), grey).mean(), 12) for one in (said, alone)
    ]
    assert bits[0] < 0.45 * bits[1]
