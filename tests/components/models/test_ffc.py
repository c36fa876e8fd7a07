"""The Fourier convolutions see the whole image, in single precision at least, with the gradients they should have."""

import pytest
import torch

from components import seeding
from components.models.ffc import FfcConfig, FourierConv2d, FourierUnit


def normal(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=seeding.torch_generator(seed, "test"), dtype=torch.float64).to(dtype)


def built(make, seed=0):
    with seeding.initialising(seed, "network"):
        return make()


def test_a_fourier_unit_without_its_activation_is_a_circular_convolution():
    # 1 x 1 in frequency with real weights shared by both parts is 1 x 1 in space: the transform and back is exact.
    unit = built(lambda: FourierUnit(3)).double().eval()
    convolution, norm, activation = unit.mix
    weights = normal(3, 3, dtype=torch.float64)
    with torch.no_grad():
        convolution.weight.copy_(torch.block_diag(weights, weights)[..., None, None])
    norm.eps, activation.inplace = 0.0, False
    unit.mix = torch.nn.Sequential(convolution, norm)
    for size in ((8, 8), (6, 10), (5, 7), (1, 1)):
        x = normal(2, 3, *size, dtype=torch.float64)
        torch.testing.assert_close(unit(x), torch.einsum("oc,bchw->bohw", weights, x))


def test_a_fourier_unit_has_the_gradients_that_differences_give():
    unit = built(lambda: FourierUnit(2)).double()
    x = normal(2, 2, 4, 5, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(unit, (x,))


def test_one_layer_carries_a_change_to_every_pixel_of_the_global_channels_alone():
    layer = built(lambda: FourierConv2d(16, 16)).eval()
    near, far = normal(1, 4, 32, 32), normal(1, 12, 32, 32)
    moved = far.clone()
    moved[..., 0, 0] += 10
    (before_near, before_far), (after_near, after_far) = layer(near, far), layer(near, moved)
    assert (before_far != after_far).any(dim=1).float().mean() > 0.95
    assert (before_near != after_near)[..., 3:, 3:].sum() == 0


@pytest.mark.parametrize("size", [(24, 40), (20, 28)])
def test_under_bfloat16_autocast_the_transform_stays_in_single_precision(size):
    network = built(lambda: FfcConfig(width=8, blocks=1).build(32))
    seen = []
    for module in network.modules():
        if isinstance(module, FourierUnit):
            module.mix.register_forward_hook(lambda _, given, out: seen.append((given[0].dtype, out.dtype)))
    image, missing = normal(2, 3, *size).clamp(-1, 1), torch.zeros(2, 1, *size)
    with torch.autocast("cpu", torch.bfloat16):
        mended = network(image, missing)
    mended.square().mean().backward()
    assert seen == [(torch.float32, torch.float32)] * 2
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())


def test_the_published_width_and_depth_have_the_published_number_of_parameters():
    with torch.device("meta"):
        network = FfcConfig(width=64, halvings=3, blocks=9).build(256)
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(27e6, rel=0.02)
