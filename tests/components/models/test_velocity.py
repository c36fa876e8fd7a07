"""The velocity U-Net: shapes, a start at rest, and what time and class change."""

import pytest
import torch

from components import seeding
from components.models.velocity import VelocityUnetConfig, time_features


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeding.torch_generator(seed, "test"))


def built(size, classes=0, seed=0, **options):
    with seeding.initialising(seed, "network"):
        return VelocityUnetConfig(width=8, **options).build(size, classes)


def stirred(network):
    generator = seeding.torch_generator(0, "stir")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return network


@pytest.mark.parametrize("size", [8, 16, 64])
@pytest.mark.parametrize("blocks", [1, 2])
def test_an_untrained_velocity_is_zero_and_all_of_it_can_learn(size, blocks):
    network = built(size, classes=3, blocks=blocks)
    given = normal(2, 3, size, size), torch.tensor([0.0, 0.7]), torch.tensor([1, network.no_class])
    assert torch.equal(network(*given), torch.zeros(2, 3, size, size))
    stirred(network)(*given).square().mean().backward()
    assert all(torch.isfinite(value.grad).all() for value in network.parameters())
    assert not [name for name, value in network.named_parameters() if not value.grad.any()]


def test_time_and_class_change_the_velocity_and_no_class_is_a_class_of_its_own():
    network = stirred(built(16, classes=2))
    image = normal(1, 3, 16, 16)
    told = ((0.2, 0), (0.3, 0), (0.2, 1), (0.2, network.no_class))
    found = [network(image, torch.tensor([time]), torch.tensor([label])) for time, label in told]
    assert all(not torch.allclose(found[0], other, atol=1e-4) for other in found[1:])


def test_the_images_of_a_batch_do_not_influence_each_other():
    network = stirred(built(16))
    images, times = normal(3, 3, 16, 16), torch.tensor([0.1, 0.5, 0.9])
    torch.testing.assert_close(network(images, times)[:1], network(images[:1], times[:1]))


def test_a_conditional_velocity_needs_classes():
    with pytest.raises(ValueError, match="found images without classes"):
        built(16, classes=2)(normal(1, 3, 16, 16), torch.zeros(1))


@pytest.mark.parametrize("size", [4, 12, 33, 48])
def test_a_size_that_is_no_doubling_of_4_px_is_refused_by_its_number(size):
    with pytest.raises(ValueError, match=f"found images of {size} px, expected 8, 16, 32"):
        VelocityUnetConfig().build(size)


def test_times_a_thousandth_apart_have_other_features_and_all_are_on_circles():
    features = time_features(torch.linspace(0, 1, 1001), 16)
    assert features.shape == (1001, 32)
    torch.testing.assert_close(features[:, :16] ** 2 + features[:, 16:] ** 2, torch.ones(1001, 16))
    assert (features[1:] - features[:-1]).norm(dim=1).min() > 0.1
