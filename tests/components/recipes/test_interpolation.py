"""The ways between codes: where they begin and end, how even their steps are, how long the codes on them."""

import math

import pytest
import torch

from components.recipes.interpolation import spherical, straight


def codes(seed, latent=64):
    return torch.randn(3, latent, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("way", [straight, spherical])
def test_a_way_begins_and_ends_at_its_codes(way):
    first, second = codes(0), codes(1)
    found = way(first, second, 5)
    assert found.shape == (5, 3, 64)
    torch.testing.assert_close(found[0], first)
    torch.testing.assert_close(found[-1], second)


def test_a_straight_way_has_the_mean_in_its_middle():
    first, second = codes(0), codes(1)
    torch.testing.assert_close(straight(first, second, 3)[1], (first + second) / 2)


def test_a_spherical_way_keeps_the_length_and_turns_by_equal_angles():
    first, second = (torch.nn.functional.normalize(codes(seed)) * 8 for seed in (0, 1))
    found = spherical(first, second, 5)
    torch.testing.assert_close(found.norm(dim=2), torch.full((5, 3), 8.0))
    turned = torch.arccos((found[:-1] * found[1:]).sum(2) / 64)
    torch.testing.assert_close(turned, turned[:1].expand(4, 3), rtol=1e-3, atol=1e-3)


def test_a_quarter_circle_is_halved_at_the_diagonal():
    first, second = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    torch.testing.assert_close(spherical(first, second, 3)[1], torch.full((1, 2), math.sqrt(0.5)))


def test_codes_in_one_direction_are_joined_by_a_line():
    first = codes(0)
    for second in (first, 2 * first):
        torch.testing.assert_close(spherical(first, second, 3), straight(first, second, 3), rtol=1e-3, atol=1e-3)
