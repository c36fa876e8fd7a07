"""R3GAN's networks: what they do otherwise on a GPU is the same arithmetic."""

import pytest
import torch
from torch.nn import functional as F

from components.models.r3net import doubled


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (1, 5, 8, 6), (2, 2, 1, 3)])
def test_doubling_by_neighbours_is_bilinear_interpolation_and_so_are_its_first_and_second_gradients(shape) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    found, expected = doubled(x), F.interpolate(x, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(found, expected)
    gradients = []
    for result in (found, expected):
        (slope,) = torch.autograd.grad(result.pow(3).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(slope.square().sum(), x)
        gradients.append((slope, second))
    torch.testing.assert_close(*gradients)
