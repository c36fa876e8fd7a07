"""Steps that are not finite are left out, counted, named and bounded."""

import pytest
import torch

from components.training.guard import DivergedError


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
