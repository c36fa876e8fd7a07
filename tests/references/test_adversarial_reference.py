"""Adversarial losses and penalties against closed forms and slow obvious versions."""

import math

import pytest
import torch

from components.objectives.adversarial import (
    AdversarialConfig,
    Hinge,
    Minimax,
    NonSaturating,
    Relativistic,
    Wasserstein,
)
from components.section import kinds

REAL, FAKE = [2.0, -0.5, 0.3], [-1.0, 0.25, 3.0]


def log_sigmoid(x):
    return math.log(1 / (1 + math.exp(-x)))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def cross_entropy():
    return -mean(log_sigmoid(x) for x in REAL) - mean(math.log(1 - 1 / (1 + math.exp(-x))) for x in FAKE)


EXPECTED = {
    Minimax: (cross_entropy(), mean(math.log(1 - 1 / (1 + math.exp(-x))) for x in FAKE)),
    NonSaturating: (cross_entropy(), -mean(log_sigmoid(x) for x in FAKE)),
    Hinge: (mean(max(0, 1 - x) for x in REAL) + mean(max(0, 1 + x) for x in FAKE), -mean(FAKE)),
    Wasserstein: (mean(FAKE) - mean(REAL), -mean(FAKE)),
    Relativistic: (
        -mean(log_sigmoid(r - f) for r, f in zip(REAL, FAKE, strict=True)),
        -mean(log_sigmoid(f - r) for r, f in zip(REAL, FAKE, strict=True)),
    ),
}


@pytest.mark.parametrize("cls", kinds(AdversarialConfig))
def test_a_loss_is_its_published_formula(cls):
    real, fake = torch.tensor(REAL), torch.tensor(FAKE)
    assert cls in EXPECTED, "its formula is missing here"
    discriminator, generator = EXPECTED[cls]
    assert cls().discriminator_loss(real, fake).item() == pytest.approx(discriminator, rel=1e-6)
    assert cls().generator_loss(fake, real).item() == pytest.approx(generator, rel=1e-6)


class Linear(torch.nn.Module):
    """D(x) = w · x, whose gradient is w at every image: |w| = 3 here."""

    def __init__(self):
        super().__init__()
        weight = torch.arange(12.0).view(3, 2, 2) + 1
        self.weight = torch.nn.Parameter(3 * weight / weight.norm())

    def forward(self, x):
        return (x * self.weight).flatten(1).sum(1)


def pair(batch=4):
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.randn(2, batch, 3, 2, 2, generator=generator)
    return real, fake, torch.rand(batch, generator=generator)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (NonSaturating(), 0),
        (NonSaturating(r1=0.5), 0.5 / 2 * 9),
        (Hinge(r1=0.5, r2=2.0), 2.5 / 2 * 9),
        (Relativistic(), 0.05 * 9),
        (Wasserstein(), 10 * (3 - 1) ** 2),
    ],
)
def test_the_penalty_of_a_linear_discriminator_is_known(loss, expected):
    assert loss.penalty(Linear(), *pair()).item() == pytest.approx(expected, rel=1e-5)
    assert loss.needs_penalty == (expected > 0)


def test_the_gradient_of_the_penalty_is_known_for_a_linear_discriminator():
    # d/dw of γ/2 |w|² is γ w; of λ (|w| - 1)² it is 2 λ (|w| - 1) w / |w|.
    for loss, factor in [(NonSaturating(r1=0.5), 0.5), (Wasserstein(), 2 * 10 * (3 - 1) / 3)]:
        discriminator = Linear()
        loss.penalty(discriminator, *pair()).backward()
        torch.testing.assert_close(discriminator.weight.grad, factor * discriminator.weight.detach())


class Quadratic(torch.nn.Module):
    """D(x) = a/2 |x|², whose gradient is a·x: penalties differ from image to image."""

    def __init__(self):
        super().__init__()
        self.steepness = torch.nn.Parameter(torch.tensor(1.5))

    def forward(self, x):
        return self.steepness / 2 * x.square().flatten(1).sum(1)


def test_penalties_look_where_they_should():
    real, fake, mix = pair()
    length = [(1.5 * image.norm()).item() for image in real]
    assert NonSaturating(r1=2.0).penalty(Quadratic(), real, fake, mix).item() == pytest.approx(
        mean(x**2 for x in length), rel=1e-5
    )
    length = [(1.5 * image.norm()).item() for image in fake]
    assert NonSaturating(r2=2.0).penalty(Quadratic(), real, fake, mix).item() == pytest.approx(
        mean(x**2 for x in length), rel=1e-5
    )
    length = [
        (1.5 * (share * one + (1 - share) * other).norm()).item()
        for one, other, share in zip(real, fake, mix, strict=True)
    ]
    assert Wasserstein().penalty(Quadratic(), real, fake, mix).item() == pytest.approx(
        10 * mean((x - 1) ** 2 for x in length), rel=1e-5
    )


def test_the_penalty_changes_with_a_weight_as_finite_differences_say():
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 2), torch.nn.Softplus(), torch.nn.Flatten(), torch.nn.Linear(4, 1), torch.nn.Flatten(0)
    ).double()
    real, fake, mix = (x.double() for x in pair())
    loss = Wasserstein(r1=0.3, r2=0.7)

    def total():
        gradients = [torch.autograd.grad(network(x).sum(), x, create_graph=True)[0] for x in inputs]
        lengths = [gradient.flatten(1).norm(dim=1) for gradient in gradients]
        return (
            0.15 * lengths[0].square().mean()
            + 0.35 * lengths[1].square().mean()
            + 10 * (lengths[2] - 1).square().mean()
        )

    share = mix.view(-1, 1, 1, 1)
    inputs = [x.clone().requires_grad_() for x in (real, fake, share * real + (1 - share) * fake)]
    penalty = loss.penalty(network, real, fake, mix)
    penalty.backward()
    assert penalty.item() == pytest.approx(total().item(), rel=1e-6)
    weight, step, measured = network[0].weight, 1e-5, []
    for change in (step, -2 * step):
        with torch.no_grad():
            weight[1, 2, 0, 1] += change
        measured.append(total().item())  # in double precision, which differences of small steps need
    assert weight.grad[1, 2, 0, 1].item() == pytest.approx((measured[0] - measured[1]) / (2 * step), rel=1e-4)
