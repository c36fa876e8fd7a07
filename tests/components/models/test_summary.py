"""What a network costs, against numbers worked out by hand and against torch's own counter."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from components.config import load
from components.models.dcgan import DcganGeneratorConfig
from components.models.norm import BatchNorm2d
from components.models.summary import count_parameters, multiply_adds, numbers_made


def test_parameters_and_multiply_adds_of_a_small_network_are_those_counted_by_hand():
    network = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.Flatten(), nn.Linear(5 * 8 * 8, 2))
    assert count_parameters(network) == (3 * 5 * 9 + 5) + (320 * 2 + 2)
    assert multiply_adds(network, torch.zeros(2, 3, 8, 8)) == 2 * (3 * 5 * 9 * 64 + 320 * 2)


def test_numbers_made_are_those_that_layers_write_and_views_write_none():
    network = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(5 * 8 * 8, 2))
    assert numbers_made(network, torch.zeros(2, 3, 8, 8)) == 2 * (5 * 64 + 2)


def test_frozen_parameters_do_not_count():
    network = nn.Linear(3, 2)
    network.bias.requires_grad_(requires_grad=False)
    assert count_parameters(network) == 6


def test_measuring_leaves_the_network_as_it_was():
    network = nn.Sequential(BatchNorm2d(3))
    multiply_adds(network, torch.ones(2, 3, 4, 4))
    assert network.training
    assert network[0].num_batches_tracked == 0


def test_a_generator_has_the_size_written_beside_the_published_one():
    # StudioGAN's "deep_conv" generator for 32 px with 128 latents has 3.81 million parameters.
    assert 3.7e6 < count_parameters(DcganGeneratorConfig().build(32)) < 3.9e6


@pytest.mark.slow
def test_every_network_of_the_matrix_costs_what_torch_counts(root):
    run = load(root / "tests" / "end_to_end" / "model_matrix.yaml")
    for name, model in run.models.items():
        network, example = model.recipe.serving_network(run.dataset.size).eval(), model.recipe.example(run.dataset.size)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(*example)
        assert multiply_adds(network, *example) == counter.get_total_flops() // 2 > 0, name
