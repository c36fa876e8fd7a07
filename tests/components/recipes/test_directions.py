"""Directions of a code: those of the factorisation, in every family that has a code, and pictures moved along them."""

import numpy as np
import pytest
import torch
from torch import nn

from components.recipes.directions import Steerable, strongest
from components.recipes.recipe import PRODUCER
from tests.components.recipes.conftest import RECIPES

CODED = [name for name, config in RECIPES.items() if config.kind in {"gan", "vae"}]
LEVELLED = {"hierarchical_vae", "vae_by_features", "biggan", "biggan_by_class"}


class Toy(nn.Module):
    """Stretches the second number of a code most, then the third; one layer sees only part of the code."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3, bias=False)
        self.part = nn.Linear(2, 50, bias=False)
        self.last = nn.Linear(3, 3, bias=False)
        self.first.weight.data = torch.diag(torch.tensor([1.0, -7.0, 3.0]))

    def forward(self, code):
        return self.last(self.first(code)).sum() + self.part(code[:, :2]).sum()


def test_the_strongest_directions_are_those_that_the_first_layer_stretches_most():
    found = strongest(Toy(), Toy(), 3, 2)
    assert found.shape == (0, 3), "the network that ran was another"
    toy = Toy()
    torch.testing.assert_close(strongest(toy, toy, 3, 2), torch.eye(3)[[1, 2]])
    assert not toy.first._forward_pre_hooks, "nothing stays behind"


@pytest.mark.parametrize("name", CODED)
def test_pictures_are_moved_along_directions_and_stay_where_they_are_in_the_middle(name, producers):
    producer = producers[name]
    assert isinstance(producer, Steerable)
    found = producer.along(2, 3, (-3.0, 0.0, 3.0), seed=5)
    assert len(found) == (0 if name in LEVELLED else 2), "no one layer takes in codes of several levels"
    again = producer.along(2, 3, (-3.0, 0.0, 3.0), seed=5)
    for views, same in zip(found, again, strict=True):
        assert [view.shape for view in views] == [(3, 16, 16, 3)] * 3
        assert all(np.array_equal(one, other) for one, other in zip(views, same, strict=True))
        assert np.abs(views[1].astype(int) - producer.generate(3, 5)).max() <= 1
        assert not np.array_equal(views[0], views[2])


def test_maps_of_a_code_are_moved_as_wholes():
    network = nn.Sequential(nn.Unflatten(1, (2, 3, 3)), nn.Conv2d(2, 5, 1))
    network[1].weight.data[:] = 0
    network[1].weight.data[4, 1] = 2.0  # the second map alone is answered
    (found,) = strongest(network, network, 18, 1)
    torch.testing.assert_close(found, torch.tensor([0.0] * 9 + [1 / 3] * 9))


def test_a_generator_has_directions_that_move_its_first_layer_more_than_others_do():
    recipe = next(config for config in RECIPES.values() if config.kind == "gan")
    generator = recipe.build(16, 1).networks[PRODUCER].eval()
    latent = recipe.generator.latent
    (best,) = strongest(generator, generator, latent, 1)
    layer = next(module for module in generator.modules() if isinstance(module, nn.Linear))
    others = torch.nn.functional.normalize(torch.randn(50, latent, generator=torch.Generator().manual_seed(0)))
    moved = torch.linalg.vector_norm(torch.cat([best[None], others]) @ layer.weight[:, :latent].T, dim=1)
    assert moved[0] > moved[1:].max()
    torch.testing.assert_close(best.norm(), torch.tensor(1.0))
