"""Adversarial losses: what they promise beside their formulas, which tests/references checks."""

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from components.models.dcgan import DcganDiscriminatorConfig
from components.models.patch import PatchDiscriminatorConfig
from components.objectives.adversarial import (
    AdversarialConfig,
    FadeConfig,
    Minimax,
    NonSaturating,
    Relativistic,
    Wasserstein,
)
from components.section import kinds

LOSSES = kinds(AdversarialConfig)


def images(batch=4, size=8):
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.rand(2, batch, 3, size, size, generator=generator) * 2 - 1
    return real, fake, torch.rand(batch, generator=generator)


@pytest.mark.parametrize("cls", LOSSES)
def test_the_mean_over_two_halves_is_the_loss_of_the_whole(cls):
    real, fake, mix = images()
    discriminator, loss = DcganDiscriminatorConfig(width=4).build(8), cls(r1=0.1, r2=0.2, gradient_penalty=0.3)
    whole = loss.discriminator_terms(discriminator, real, fake, mix).loss
    halves = [
        loss.discriminator_terms(discriminator, *(x[rows] for x in (real, fake, mix))).loss
        for rows in (slice(0, 2), slice(2, 4))
    ]
    torch.testing.assert_close(sum(halves) / 2, whole)


@pytest.mark.parametrize("cls", LOSSES)
@pytest.mark.parametrize("config", [DcganDiscriminatorConfig(width=4), PatchDiscriminatorConfig(width=4)])
@pytest.mark.parametrize("weights", [{}, {"r1": 0.1}, {"r1": 0.1, "r2": 0.2, "gradient_penalty": 0.3}])
def test_one_pass_gives_what_separate_passes_give(cls, config, weights):
    real, fake, mix = images()
    network = config.build(8) if isinstance(config, DcganDiscriminatorConfig) else config.build()
    network.eval()  # spectral norm moves with each pass in training
    loss = cls(**weights)
    gradients = []
    for total in (
        loss.discriminator_loss(network(real), network(fake)) + loss.penalty(network, real, fake, mix),
        loss.discriminator_terms(network, real, fake, mix).loss,
    ):
        gradients.append([total, *torch.autograd.grad(total, list(network.parameters()), allow_unused=True)])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("cls", LOSSES)
def test_penalties_on_every_third_step_weigh_as_much_over_three_steps_as_penalties_on_each(cls):
    network = DcganDiscriminatorConfig(width=4).build(8)
    weights = {"r1": 0.1, "r2": 0.2, "gradient_penalty": 0.3}
    always, lazy = cls(**weights), cls(**weights, penalty_every=3)
    lazy_penalties = [lazy.at(4 * step, 4).discriminator_terms(network, *images()).penalty.item() for step in (6, 7, 8)]
    assert lazy_penalties[1:] == [0, 0]
    assert lazy_penalties[0] == pytest.approx(3 * always.at(28, 4).penalty(network, *images()).item(), rel=1e-5)


@pytest.mark.parametrize(
    ("images", "left"), [(0, 1), (250, 0.1 + 0.9 * 0.853553), (500, 0.55), (1000, 0.1), (5000, 0.1)]
)
def test_fading_penalties_shrink_along_half_a_cosine_and_stay_at_the_end(images, left):
    faded = Relativistic(r1=2.0, r2=1.0, penalty_fade=FadeConfig(images=1000)).at(images, 10)
    assert (faded.r1, faded.r2) == pytest.approx((2 * left, left))


@pytest.mark.parametrize("cls", LOSSES)
def test_each_player_gains_by_moving_logits_its_own_way(cls):
    # Made images are taken for real, and real ones for made: where every loss has something to gain.
    real, fake = torch.full((3,), -0.5, requires_grad=True), torch.full((3,), 0.5, requires_grad=True)
    up, down = torch.autograd.grad(cls().discriminator_loss(real, fake), [real, fake])
    assert (up < 0).all()
    assert (down > 0).all()
    assert (torch.autograd.grad(cls().generator_loss(fake, real.detach()), fake)[0] < 0).all()


def test_no_gradient_of_the_discriminators_loss_reaches_made_images():
    real, fake, mix = images()
    fake.requires_grad_()
    loss = Wasserstein(r1=1, r2=1)
    loss.discriminator_terms(DcganDiscriminatorConfig(width=4).build(8), real, fake, mix).loss.backward()
    assert fake.grad is None


def test_extreme_logits_stay_finite():
    for cls in LOSSES:
        logits = torch.tensor([-1e4, 1e4])
        assert torch.isfinite(cls().discriminator_loss(logits, logits.flip(0)))
        assert torch.isfinite(cls().generator_loss(logits, logits.flip(0)))


def test_a_flat_discriminator_gives_a_finite_penalty_and_gradient():
    network = DcganDiscriminatorConfig(width=4).build(8)
    torch.nn.init.zeros_(network.last.weight)
    Wasserstein(r1=1).penalty(network, *images()).backward()
    assert all(torch.isfinite(value.grad).all() for value in network.parameters() if value.grad is not None)


def test_the_generator_of_a_sure_discriminator_still_learns_only_without_saturation():
    logits = torch.full((1,), -20.0, requires_grad=True)
    slope = {
        cls: torch.autograd.grad(cls().generator_loss(logits), logits)[0].item() for cls in (Minimax, NonSaturating)
    }
    assert abs(slope[Minimax]) < 1e-6
    assert slope[NonSaturating] == pytest.approx(-1, abs=1e-6)


def test_a_relativistic_generator_asks_for_the_logits_it_compares_with():
    assert Relativistic().needs_real_for_generator
    assert not NonSaturating().needs_real_for_generator
    with pytest.raises(ValueError, match="found no logits of real images"):
        Relativistic().generator_loss(torch.zeros(2))


def test_a_loss_is_chosen_by_its_kind_and_negative_weights_are_refused():
    adapter = TypeAdapter(AdversarialConfig)
    assert adapter.validate_python({"kind": "wasserstein"}) == Wasserstein(gradient_penalty=10)
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        adapter.validate_python({"kind": "hinge", "r1": -1})
