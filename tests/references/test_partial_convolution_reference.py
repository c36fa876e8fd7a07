"""Partial convolution against the paper's definition, window by window."""

import pytest
import torch

from components import seeding
from components.models.pconv import PartialConv2d


def slow(layer, inputs):
    """Liu et al. 2018, equations 1 and 2, one window after the other; nothing is known beyond the edge."""
    x = torch.cat([features for features, _ in inputs], dim=1)
    known = torch.cat([mask.expand_as(features) for features, mask in inputs], dim=1)
    kernel, stride, pad = layer.kernel, layer.stride, layer.kernel // 2
    x, known = (torch.nn.functional.pad(value, (pad, pad, pad, pad)) for value in (x, known))
    rows, columns = ((x.shape[axis] - kernel) // stride + 1 for axis in (2, 3))
    weight = layer.convolution.weight
    out = torch.zeros(len(x), len(weight), rows, columns, dtype=x.dtype)
    reached = torch.zeros(len(x), 1, rows, columns, dtype=x.dtype)
    for image in range(len(x)):
        for row in range(rows):
            for column in range(columns):
                window = (image, slice(None), slice(row * stride, row * stride + kernel))
                window = (*window, slice(column * stride, column * stride + kernel))
                if known[window].sum() > 0:
                    scale = known[window].numel() / known[window].sum()
                    value = (weight * (x[window] * known[window])).sum(dim=(1, 2, 3)) * scale
                    out[image, :, row, column] = value + (0 if layer.bias is None else layer.bias)
                    reached[image, 0, row, column] = 1
    return out, reached


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=seeding.torch_generator(seed, "test"), dtype=torch.float64)


@pytest.mark.parametrize("pairs", [1, 2])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 2), (7, 2)])
@pytest.mark.parametrize("bias", [True, False])
def test_each_window_is_the_mean_over_what_is_known_in_it(pairs, kernel, stride, bias):
    inputs = [
        (drawn(2, 2 + pair, 8, 10, seed=pair), (drawn(2, 1, 8, 10, seed=5 + pair) > 0.9).double())
        for pair in range(pairs)
    ]
    layer = PartialConv2d(sum(2 + pair for pair in range(pairs)), 4, kernel, stride=stride, bias=bias).double()
    if bias:
        torch.nn.init.normal_(layer.bias, generator=seeding.torch_generator(1, "test"))
    found, expected = layer(*inputs), slow(layer, inputs)
    assert 0 < expected[1].mean() < 1 or kernel > 3
    torch.testing.assert_close(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


def test_what_unknown_inputs_hold_is_not_read():
    layer = PartialConv2d(3, 4, 3, stride=1).double()
    x, known = drawn(1, 3, 8, 8), (drawn(1, 1, 8, 8, seed=1) > 0).double()
    torch.testing.assert_close(layer((x, known))[0], layer((x * known + 7 * (1 - known), known))[0])


def test_a_layer_has_the_gradients_that_differences_give():
    layer = PartialConv2d(2, 2, 3, stride=2).double()
    x, known = drawn(1, 2, 4, 6).requires_grad_(), (drawn(1, 1, 4, 6, seed=1) > 0).double()
    assert torch.autograd.gradcheck(lambda given: layer((given, known))[0], (x,))
