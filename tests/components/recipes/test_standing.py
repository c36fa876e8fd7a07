"""Standing statistics: what they are, that they pass away, and that they mend what averaging spoils."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from components.models.dcgan import DcganGeneratorConfig
from components.models.norm import BatchNorm2d
from components.recipes.gan import GanConfig
from components.recipes.standing import settle, settled

NOTHING = np.zeros((1, 16, 16, 3), np.uint8)


def passes(count: int = 4, rows: int = 16, seed: int = 0) -> list[tuple[torch.Tensor]]:
    random = torch.Generator().manual_seed(seed)
    return [(3 * torch.randn(rows, 2, 4, 4, generator=random) + 5,) for _ in range(count)]


def test_statistics_are_the_means_over_passes():
    norm, given = BatchNorm2d(2), passes()
    settle(norm, given)
    means = torch.stack([one.mean((0, 2, 3)) for (one,) in given])
    variances = torch.stack([one.var((0, 2, 3)) for (one,) in given])
    torch.testing.assert_close(norm.running_mean, means.mean(0))
    torch.testing.assert_close(norm.running_var, variances.mean(0))
    assert not norm.training
    assert norm.momentum == 0.1


def test_a_deep_layer_has_the_statistics_of_what_reaches_it():
    network = nn.Sequential(BatchNorm2d(2), nn.Conv2d(2, 3, 1), BatchNorm2d(3)).eval()
    settle(network, passes(1))
    made = network(passes(1)[0][0])
    torch.testing.assert_close(made.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(made.std((0, 2, 3)), torch.ones(3), atol=0.01, rtol=0)


def test_what_was_there_before_is_there_after_the_block_to_the_bit_in_the_same_places():
    norm = BatchNorm2d(2)
    norm(passes(1, seed=1)[0][0])
    norm.eval()
    before, places = copy.deepcopy(norm.state_dict()), [one.data_ptr() for one in norm.buffers()]
    with settled(norm, passes()):
        assert not torch.equal(norm.running_mean, before["running_mean"])
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())
    assert [one.data_ptr() for one in norm.buffers()] == places


def test_dropout_takes_no_part():
    network = nn.Sequential(nn.Dropout(0.9), BatchNorm2d(2)).eval()
    settle(network, passes(1))
    assert network[1].running_mean.mean().item() == pytest.approx(5, abs=0.5)


def test_averaged_weights_whose_statistics_are_of_others_make_other_pictures_until_they_are_settled():
    recipe = GanConfig(generator=DcganGeneratorConfig(latent=8, width=4), statistics="standing")
    network = recipe.serving_network(16)
    foreign = copy.deepcopy(network)
    for norm in foreign.modules():
        if isinstance(norm, BatchNorm2d):
            nn.init.constant_(norm.running_mean, 4.0)
    pictures = []
    for one in (network, foreign):
        with recipe.ready(one.eval(), seed=3):
            pictures.append(recipe.producer(one).generate(8, 1))
    assert (pictures[0] == pictures[1]).all()
    assert (recipe.producer(foreign).generate(8, 1) != pictures[0]).any()
    assert (recipe.producer(recipe.finished(foreign, NOTHING, 3)).generate(8, 1) == pictures[0]).all()


def test_running_statistics_are_left_alone_unless_standing_ones_are_asked_for():
    recipe = GanConfig(generator=DcganGeneratorConfig(latent=8, width=4))
    network = recipe.serving_network(16).eval()
    before = copy.deepcopy(network.state_dict())
    recipe.finished(network, NOTHING, 3)
    with recipe.ready(network, 3):
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert "statistics" not in recipe.model_dump()
