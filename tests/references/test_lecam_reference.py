"""LeCam regularisation against the paper's words, number by number."""

import pytest
import torch

from components.objectives.lecam import Anchors, LecamConfig


def by_hand(batches, weight, decay):
    """Return the penalty of each batch: squared distances to moving means of the other side before it."""
    real_mean = fake_mean = 0.0
    penalties = []
    for real, fake in batches:
        to_fake = sum((one - fake_mean) ** 2 for one in real) / len(real)
        to_real = sum((one - real_mean) ** 2 for one in fake) / len(fake)
        penalties.append(weight * (to_fake + to_real))
        real_mean = decay * real_mean + (1 - decay) * sum(real) / len(real)
        fake_mean = decay * fake_mean + (1 - decay) * sum(fake) / len(fake)
    return penalties


def test_the_penalty_of_each_step_is_that_of_the_formula():
    batches = [([1.0, 3.0], [-2.0, 0.5]), ([2.0, 2.5], [-1.0, -4.0]), ([0.0, 5.0], [1.0, 1.0])]
    anchors = Anchors(LecamConfig(weight=0.3, decay=0.9))
    found = []
    for real, fake in batches:
        logits = torch.tensor(real), torch.tensor(fake)
        found.append(anchors.penalty(*logits).item())
        anchors.follow(*logits)
    assert found == pytest.approx(by_hand(batches, 0.3, 0.9))


def test_the_gradient_pulls_logits_to_the_mean_of_the_other_side():
    anchors = Anchors(LecamConfig(weight=1.0))
    anchors.real.fill_(2.0)
    anchors.fake.fill_(-1.0)
    real, fake = torch.tensor([2.0], requires_grad=True), torch.tensor([-1.0], requires_grad=True)
    anchors.penalty(real, fake).backward()
    assert (real.grad.item(), fake.grad.item()) == (pytest.approx(6.0), pytest.approx(-6.0))
    assert not anchors.real.requires_grad
