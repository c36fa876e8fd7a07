"""The learning rate is a function of images seen; every optimizer of the union learns."""

import math

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from components.section import kinds
from components.training.optimizer import AdamConfig, OptimizerConfig, ScheduleConfig, set_rate


@pytest.mark.parametrize("images", [0, 1, 500, 1000])
def test_without_a_schedule_the_rate_is_constant(images):
    assert ScheduleConfig().factor(images, 1000) == 1


def test_warm_up_rises_linearly_and_then_stays():
    schedule = ScheduleConfig(warmup_images=100)
    assert [schedule.factor(images, 1000) for images in (0, 49, 99, 100, 900)] == [0.01, 0.5, 1, 1, 1]


@pytest.mark.parametrize(
    ("images", "expected"), [(0, 1), (250, 0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2), (500, 0.55), (1000, 0.1), (2000, 0.1)]
)
def test_cosine_decay_takes_its_known_values_and_stays_at_the_end(images, expected):
    assert ScheduleConfig(final_fraction=0.1).factor(images, 1000) == pytest.approx(expected)


@pytest.mark.parametrize(("images", "expected"), [(0, 1), (250, 0.75), (1000, 0), (2000, 0)])
def test_linear_decay_falls_along_a_line(images, expected):
    assert ScheduleConfig(shape="linear", final_fraction=0).factor(images, 1000) == pytest.approx(expected)


def test_decay_over_fewer_images_than_the_training_ends_early():
    schedule = ScheduleConfig(final_fraction=0.2, decay_images=100)
    assert [schedule.factor(images, 10**6) for images in (50, 100, 5000)] == pytest.approx([0.6, 0.2, 0.2])


def test_the_decay_of_the_second_moment_moves_with_the_rate_and_reaches_the_optimizer():
    config = AdamConfig(betas=(0.0, 0.9), final_beta2=0.99, schedule=ScheduleConfig(decay_images=100))
    optimizer = config.build([torch.nn.Parameter(torch.ones(2))])
    reached = []
    for images in (0, 50, 100):
        set_rate(optimizer, config, images, 1000)
        reached.append(optimizer.param_groups[0]["betas"])
    assert reached == [(0.0, pytest.approx(beta)) for beta in (0.9, 0.945, 0.99)]


def test_the_rate_of_a_step_reaches_the_optimizer():
    config = AdamConfig(rate=0.5, schedule=ScheduleConfig(final_fraction=0))
    optimizer = config.build([torch.nn.Parameter(torch.ones(2))])
    assert set_rate(optimizer, config, 500, 1000) == pytest.approx(0.25)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.25)


@pytest.mark.parametrize("member", kinds(OptimizerConfig))
def test_every_optimizer_can_be_named_in_a_file_and_descends(member):
    config = TypeAdapter(OptimizerConfig).validate_python({"kind": member().kind, "rate": 0.05})
    assert type(config) is member
    place, weights = torch.nn.Parameter(torch.tensor([3.0, -2.0])), torch.nn.Parameter(torch.full((13, 8, 1, 1), 0.4))
    optimizer = config.build([place, weights])
    for _ in range(200):
        optimizer.zero_grad()
        (place.square().sum() + weights.square().sum()).backward()
        optimizer.step()
    assert place.abs().max() < 0.2
    assert weights.abs().max() < 0.2


@pytest.mark.parametrize("betas", [(1.0, 0.9), (0.5, -0.1)])
def test_decay_rates_outside_their_range_are_refused_before_training(betas):
    with pytest.raises(ValidationError, match="betas"):
        AdamConfig(betas=betas)
