"""The loop: what a step is, when phases and intervals fire, and how it ends."""

import math

import pytest
import torch

from components.training.config import ExecutionConfig, TrainingConfig, check_division
from components.training.loop import Ending, Interval
from components.training.optimizer import AdamConfig
from components.training.step import micro_batches


def weights(played) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in played.networks.named_parameters()}


def test_four_micro_batches_make_the_step_of_one_batch(game):
    results = []
    for parts in (1, 4):
        played = game()
        played.networks["producer"][1].eval()  # batch statistics are of micro-batches, which is documented
        played.train(64, batch=16, accumulate=parts)
        results.append(weights(played))
    for name, one in results[0].items():
        torch.testing.assert_close(one, results[1][name], rtol=1e-4, atol=1e-6)


def test_noise_does_not_depend_on_accumulation(game):
    batch = next(game().batches(16))
    parts = micro_batches(batch, 4)
    assert [len(part) for part in parts] == [4] * 4
    assert torch.equal(torch.cat([part.noise("z", 5) for part in parts]), batch.noise("z", 5))


def test_the_gradient_is_clipped_to_the_norm_and_reported_unclipped(game):
    played = game(optimizer=AdamConfig(rate=1e-8))
    played.train(8, clip_norm=1e-3)
    squares = sum(parameter.grad.square().sum() for parameter in played.networks["producer"].parameters())
    assert math.sqrt(squares) == pytest.approx(1e-3, rel=1e-2)
    assert played.reports[-1][1]["first/gradient_norm"] > 1e-2


def test_a_phase_runs_on_each_nth_iteration_and_trains_its_own_network_only(game):
    played = game(every=3)
    played.train(8 * 7)
    steps = {
        name: {int(one["step"]) for one in optimizer.state_dict()["state"].values()}
        for name, optimizer in played.state.optimizers.items()
    }
    assert steps == {"first": {7}, "second": {3}}  # iterations 0, 3 and 6


def test_intervals_fire_when_their_images_are_passed_and_at_the_end(game):
    played, fired = game(), []
    played.train(100, intervals=[Interval(20, lambda: fired.append(played.state.images))])
    assert fired == [24, 40, 64, 80, 104]


def test_reports_are_means_since_the_last_one(game):
    played = game()
    played.train(64, report_every=32)
    assert [images for images, _ in played.reports] == [32, 64]
    assert [values["first/first_image"] for _, values in played.reports] == [12, 44]
    assert all(values["images_per_s"] > 0 for _, values in played.reports)


def test_a_stop_is_obeyed_before_the_next_step(game):
    played = game()
    assert played.train(800, should_stop=lambda: played.state.images >= 24) is Ending.STOPPED
    assert played.state.images == 24


def test_a_finished_training_does_nothing_more(game):
    played = game()
    assert played.train(16) is Ending.FINISHED
    before = weights(played)
    assert played.train(16) is Ending.FINISHED
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(played).items())


def test_bf16_trains_weights_that_stay_fp32(game):
    played = game()
    played.train(160, precision="bf16", report_every=80)
    (_, first), (_, last) = played.reports
    assert last["first/loss"] < first["first/loss"]
    assert {tensor.dtype for tensor in played.networks.parameters()} == {torch.float32}


def test_dropout_is_drawn_from_the_step_and_not_from_the_history_of_the_process(game):
    results = []
    for draws in (0, 5):
        played = game(dropout=0.5)
        torch.rand(draws)
        played.train(40)
        results.append(weights(played))
    assert all(torch.equal(one, results[1][name]) for name, one in results[0].items())
    plain = game()
    plain.train(40)
    assert any(not torch.equal(one, results[0][name]) for name, one in weights(plain).items())


@pytest.mark.parametrize(("batch", "processes", "nodes", "accumulate"), [(65, 2, 1, 1), (64, 2, 3, 1), (64, 4, 4, 8)])
def test_a_batch_that_cannot_be_shared_equally_is_refused_with_its_numbers(batch, processes, nodes, accumulate):
    training = TrainingConfig(images=100, batch=batch, accumulate=accumulate)
    with pytest.raises(ValueError, match=rf"batch {batch} .* {processes} x nodes {nodes} x accumulate {accumulate}"):
        check_division(training, ExecutionConfig(processes=processes, nodes=nodes))
