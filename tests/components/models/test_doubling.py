"""Doubled images are those of torch's own interpolation, also where they are computed otherwise."""

import pytest
import torch
import torch.nn.functional as F

from components.models.doubling import by_neighbours, nearest

LAYOUTS = (torch.contiguous_format, torch.channels_last)


def _pictures(layout: torch.memory_format) -> torch.Tensor:
    random = torch.Generator().manual_seed(3)
    return torch.randn(2, 3, 4, 5, generator=random).contiguous(memory_format=layout).requires_grad_()


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (1, 5, 8, 6), (2, 2, 1, 3)])
def test_weighted_neighbours_are_bilinear_interpolation_and_so_are_their_first_and_second_gradients(
    shape: tuple[int, ...],
) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    found, expected = by_neighbours(x), F.interpolate(x, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(found, expected)
    gradients = []
    for result in (found, expected):
        (slope,) = torch.autograd.grad(result.pow(3).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(slope.square().sum(), x)
        gradients.append((slope, second))
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_compiled_gives_the_nearest_pixels_and_their_gradient(
    layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = _pictures(layout)
    reference = nearest(x)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    ours = nearest(x)
    assert torch.equal(ours, reference)
    (gradient,), (expected,) = (torch.autograd.grad(y.square().sum(), x) for y in (ours, reference))
    torch.testing.assert_close(gradient, expected)
