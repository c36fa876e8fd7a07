"""Steps that are not finite are left out, counted, named and bounded."""

import json

import pytest
import torch

from components.training.guard import DivergedError, Guard, GuardConfig


def test_a_step_that_is_not_finite_changes_nothing_but_the_count(game):
    played = game()
    played.objective.broken_at = {16}
    played.train(16)
    before = {
        name: tensor.clone()
        for name, tensor in played.networks[  # running statistics included
            "producer"
        ]
        .state_dict()
        .items()
    }
    moments = [value["exp_avg"].clone() for value in played.state.optimizers["first"].state_dict()["state"].values()]
    played.train(24)
    after = played.networks["producer"].state_dict()
    floating = [name for name, tensor in before.items() if tensor.is_floating_point()]
    assert all(torch.equal(before[name], after[name]) for name in floating)
    kept = played.state.optimizers["first"].state_dict()["state"].values()
    assert all(torch.equal(one, value["exp_avg"]) for one, value in zip(moments, kept, strict=True))
    assert (played.state.images, played.state.guard.skipped) == (24, 1)


def test_training_goes_on_after_a_skipped_step_and_reports_it(game):
    played = game()
    played.objective.broken_at = {8, 16}
    played.train(80, report_every=40)
    (_, first), (_, last) = played.reports
    assert last["first/loss"] < first["first/loss"] < float("inf")
    assert last["skipped_steps"] == 2


def test_more_skips_than_allowed_stop_with_phase_quantity_place_and_advice(game):
    played = game(skips=2)
    played.objective.broken_at = {24, 32, 40}
    with pytest.raises(
        DivergedError,
        match=r"first/gradient_norm is nan, first/loss is nan after 40 images; 3 steps .* allows 2\. Lower",
    ):
        played.train(800)
    assert played.state.images == 40


def test_no_skip_may_be_allowed(game):
    played = game(skips=0)
    played.objective.broken_at = {8}
    with pytest.raises(DivergedError, match="after 8 images; 1 steps"):
        played.train(80)


def looked(guard: Guard, *values: float, name: str = "vae/loss") -> None:
    for number, value in enumerate(values):
        guard.look(1_000 * (number + 1), {name: value})


@pytest.mark.parametrize("name", ["vae/loss", "generator/gradient_norm"])
def test_what_explodes_in_so_many_looks_in_a_row_is_named_with_its_usual_size(name):
    guard = Guard(GuardConfig(explosion=100, patience=2))
    with pytest.raises(
        DivergedError, match=rf"{name} is 501, usual is 5: it exploded, after 10,000 images and 2 looks"
    ):
        looked(guard, *[5.0] * 8, -501.0, 501.0, name=name)


def test_a_peak_a_rise_and_small_losses_are_no_explosion():
    guard = Guard(GuardConfig(explosion=100, patience=2))
    looked(guard, *[5.0] * 8, 1e6, 5.0, 1e6, 5.0)
    looked(guard, *[10.0 * 1.1**step for step in range(100)])  # the median follows
    looked(Guard(GuardConfig(explosion=100, patience=1)), *[1e-6] * 8, 50.0)  # a millionth is no measure
    looked(Guard(GuardConfig(explosion=100, patience=1)), 1e9, *[1.0] * 8)  # the first ones have no measure
    assert guard.is_calm


def test_a_discriminator_that_has_won_is_named():
    guard = Guard(GuardConfig(gap=40, patience=2))
    won = {"discriminator/real_logit": 30.0, "discriminator/fake_logit": -11.0}
    guard.look(1_000, won)
    assert not guard.is_calm
    guard.look(2_000, won | {"discriminator/fake_logit": 11.0})
    assert guard.is_calm
    guard.look(3_000, won)
    with pytest.raises(DivergedError, match=r"discriminator tells real from made by 41, .*gap allows 40, after 4,000"):
        guard.look(4_000, won)


def test_what_the_guard_remembers_survives_a_checkpoint():
    config = GuardConfig(explosion=100, patience=2)
    guard, other = Guard(config), Guard(config)
    looked(guard, *[5.0] * 8, 501.0)
    guard.rollbacks = 2
    other.restore(json.loads(json.dumps(guard.facts())))
    assert other.facts() == guard.facts()
    assert other.rate_factor == 0.25
    with pytest.raises(DivergedError, match=r"exploded, .* gone back 2 times before"):
        looked(other, 501.0)


def test_a_lower_rate_after_a_rollback_reaches_every_optimizer(game):
    played = game()
    played.train(8)
    full = {name: optimizer.param_groups[0]["lr"] for name, optimizer in played.state.optimizers.items()}
    played.state.guard.rollbacks = 1
    played.train(16)
    assert {name: one.param_groups[0]["lr"] for name, one in played.state.optimizers.items()} == {
        name: rate / 2 for name, rate in full.items()
    }


def test_the_loop_looks_at_every_interval(game):
    played, places = game(), []
    played.state.guard.look = lambda images, values: places.append((images, sorted(values)[0]))
    played.train(80, guard={"look_every": 20})
    assert places == [(place, "first/first_image") for place in (24, 40, 64, 80)]
