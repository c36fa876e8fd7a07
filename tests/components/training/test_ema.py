"""The average of the weights is the one its formula says, whatever the batch size."""

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from components.training.config import TrainingConfig
from components.training.ema import Ema, EmaConfig
from components.training.selection import ValidationConfig


def pair(**config) -> tuple[nn.Linear, Ema]:
    network = nn.Linear(2, 1)
    nn.init.zeros_(network.weight)
    ema = Ema(network, EmaConfig(**config))
    nn.init.ones_(network.weight)
    return network, ema


@pytest.mark.parametrize("batch", [1, 4, 32])
def test_after_one_half_life_half_of_the_old_weights_is_left_for_any_batch_size(batch):
    _, ema = pair(half_life_images=64, ramp_fraction=0)
    for images in range(batch, 65, batch):
        ema.update(images, batch)
    torch.testing.assert_close(ema.network.weight, torch.full((1, 2), 0.5))


def test_moving_weights_are_averaged_by_the_closed_form():
    network, ema = pair(half_life_images=10, ramp_fraction=0)
    expected = torch.zeros(1, 2)
    for step in range(1, 20):
        nn.init.constant_(network.weight, step)
        ema.update(5 * step, 5)
        decay = 0.5 ** (5 / 10)
        expected = decay * expected + (1 - decay) * step
    torch.testing.assert_close(ema.network.weight, expected)


def test_the_ramp_keeps_early_averages_fresh():
    _, ema = pair(half_life_images=1_000_000, ramp_fraction=0.05)
    ema.update(images=64, batch=64)
    torch.testing.assert_close(ema.network.weight, torch.full((1, 2), 1 - 0.5 ** (1 / 0.05)))


@pytest.mark.parametrize(("images", "expected"), [(0, 1e-8), (500, 32), (1000, 64), (2000, 64)])
def test_a_half_life_may_rise_along_half_a_cosine(images, expected):
    config = EmaConfig(half_life_images=64, ramp_fraction=0, ramp_images=1000)
    assert config.half_life(images) == pytest.approx(expected)


def test_running_statistics_are_copied_and_the_average_never_trains():
    network = nn.BatchNorm2d(3)
    ema = Ema(network, EmaConfig())
    network(torch.randn(4, 3, 2, 2) + 5)
    ema.update(4, 4)
    assert torch.equal(ema.network.running_mean, network.running_mean)
    assert torch.equal(ema.network.num_batches_tracked, network.num_batches_tracked)
    assert not ema.network.training
    assert not any(parameter.requires_grad for parameter in ema.network.parameters())


def test_averages_beside_are_those_that_trainings_of_their_own_half_life_would_have():
    network = nn.Linear(2, 1)
    config = EmaConfig(half_life_images=8, ramp_fraction=0, beside=(2, 64))
    averages = {name: Ema(network, own) for name, own in config.averages("producer")}
    assert list(averages) == ["producer", "producer@2", "producer@64"]
    alone = Ema(network, EmaConfig(half_life_images=64, ramp_fraction=0))
    for images in (4, 8, 12):
        nn.init.constant_(network.weight, images)
        for one in (*averages.values(), alone):
            one.update(images, 4)
    assert torch.equal(averages["producer@64"].network.weight, alone.network.weight)
    assert averages["producer@2"].network.weight.mean() > averages["producer"].network.weight.mean()


@pytest.mark.parametrize("beside", [(0,), (-4,), (8, 8)])
def test_half_lives_are_different_numbers_of_images_above_zero(beside):
    with pytest.raises(ValidationError, match="expected different numbers of images above 0"):
        EmaConfig(beside=beside)


@pytest.mark.parametrize("validation", [None, ValidationConfig(select="last")])
def test_averages_beside_need_a_score_to_be_chosen_by(validation):
    with pytest.raises(ValidationError, match=r"ema.beside keeps averages .* select: best"):
        TrainingConfig(images=8, ema=EmaConfig(beside=(64,)), validation=validation)


def test_without_averages_beside_digests_stay():
    assert "beside" not in EmaConfig().model_dump()
    assert EmaConfig(beside=(2,)).model_dump()["beside"] == (2,)
