"""A discriminator that looks through a trained network: what it sees, what trains, what it leaves in checkpoints."""

import copy

import pytest
import torch
from torch import nn

from components import seeding
from components.models.dcgan import DcganDiscriminatorConfig
from components.models.projected import Mixing, ProjectedDiscriminatorConfig


def pictures(count: int, size: int = 32) -> torch.Tensor:
    levels = torch.randint(0, 256, (count, 3, size, size), generator=seeding.torch_generator(0, "test"))
    return levels / 127.5 - 1


@pytest.fixture(scope="module")
def network():
    config = ProjectedDiscriminatorConfig(pixels=DcganDiscriminatorConfig(width=4), weight=0.3)
    with seeding.initialising(0, "network"):
        return config.build(32)


def test_features_are_of_deviation_one_over_each_image_and_may_be_those_of_a_larger_copy(network):
    images = pictures(2)
    seen = network.seen(images)
    assert [one.shape[1:] for one in seen] == [(24, 8, 8), (40, 4, 4), (112, 2, 2), (320, 1, 1)]
    for one, raw in zip(seen, network.eye(images), strict=True):
        deviation = raw.std((1, 2, 3), keepdim=True, correction=0)
        torch.testing.assert_close(one, (raw - raw.mean((1, 2, 3), keepdim=True)) / deviation, atol=1e-3, rtol=1e-3)
    larger = ProjectedDiscriminatorConfig(pixels=DcganDiscriminatorConfig(width=4), resolution=64).build(32)
    assert larger.seen(images)[0].shape == (2, 24, 16, 16)


def test_the_logit_is_that_of_the_pixels_and_a_share_of_the_heads_mean(network):
    still, images = copy.deepcopy(network).eval(), pictures(3)
    mixed = still.mixing(still.seen(images))
    heads = torch.stack([head(one).mean((1, 2, 3)) for head, one in zip(still.heads, mixed, strict=True)])
    torch.testing.assert_close(still(images), still.pixels(images) + 0.3 * heads.mean(0))


def test_a_coarse_scale_is_heard_in_all_finer_ones_and_not_the_other_way_round():
    with seeding.initialising(0, "mixing"):
        mixing = Mixing([4, 6, 8])
    features = [torch.zeros(1, 4, 8, 8), torch.zeros(1, 6, 4, 4), torch.zeros(1, 8, 2, 2)]
    features[1][..., 0, 0] = 1.0
    fine, middle, coarse = mixing(features)
    assert fine[..., :2, :2].any()
    assert not fine[..., 2:, 2:].any()
    assert middle.any()
    assert not coarse.any()


def test_gradients_reach_the_images_and_the_heads_and_nothing_else_of_the_eye(network):
    images = pictures(2).requires_grad_()
    network(images).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in network.heads.parameters())
    assert not any("eye" in name or "mixing" in name for name, _ in network.named_parameters())


def test_checkpoints_hold_how_features_are_mixed_and_not_the_trained_network(network):
    state = network.state_dict()
    assert not any("eye" in name for name in state)
    assert {name for name in state if name.startswith("mixing.")} == {
        *(f"mixing.across.{number}.weight" for number in range(4)),
        *(f"mixing.down.{number}.weight" for number in range(3)),
    }
    with seeding.initialising(1, "network"):
        other = ProjectedDiscriminatorConfig(pixels=DcganDiscriminatorConfig(width=4)).build(32)
    other.load_state_dict(state)
    images = pictures(1)
    assert torch.equal(other.eval()(images), copy.deepcopy(network).eval()(images))


def test_its_first_layers_are_those_of_the_pixels(network):
    assert len(network.layers()) == 3
    assert all(isinstance(layer, nn.Sequential) for layer in network.layers())
