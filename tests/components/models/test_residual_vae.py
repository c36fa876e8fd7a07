"""The residual VAE: codes that are vectors or maps, images that do not influence each other, cheap arithmetic."""

import pytest
import torch
from pydantic import ValidationError

from components import seeding
from components.models.residual import ResidualBlock
from components.models.residual_vae import ResidualVaeConfig
from components.models.summary import count_parameters, multiply_adds

VECTOR = ResidualVaeConfig(width=8, latent=8)
MAP = ResidualVaeConfig(width=8, latent=2 * 8 * 8, map_px=8, blocks=2)


def built(config, size=32):
    with seeding.initialising(0, "network"):
        return config.build(size).to(memory_format=torch.channels_last)


def pictures(count, size=32):
    drawn = torch.rand(count, 3, size, size, generator=seeding.torch_generator(0, "test"))
    return (drawn * 2 - 1).to(memory_format=torch.channels_last)


def test_a_map_keeps_each_number_at_its_place_in_the_picture():
    network, image = built(MAP), pictures(1)
    image.requires_grad_()
    mean = network.encode(image)[0].view(1, *MAP.latent_shape)
    assert MAP.latent_shape == (2, 8, 8)
    mean[0, :, 0, 0].sum().backward()
    slope = image.grad.abs().sum((0, 1))
    assert slope[:4, :4].mean() > 10 * slope[16:, 16:].mean()


def test_a_vector_describes_the_whole_picture():
    network, image = built(VECTOR), pictures(1)
    image.requires_grad_()
    network.encode(image)[0][0, 0].backward()
    assert VECTOR.latent_shape == (8,)
    assert (image.grad.abs().sum((0, 1)) > 0).all()


@pytest.mark.parametrize("config", [VECTOR, MAP])
def test_the_images_of_a_batch_do_not_influence_each_other(config):
    network, image = built(config), pictures(3)
    noise = torch.ones(3, config.latent)
    whole, alone = network(image, noise), network(image[:1], noise[:1])
    for several, single in zip(whole, alone, strict=True):
        torch.testing.assert_close(several[:1], single)


def test_a_block_starts_as_the_identity_and_all_of_it_learns():
    block = ResidualBlock(8, 8)
    x = torch.randn(2, 8, 4, 4, generator=seeding.torch_generator(0, "test"))
    assert torch.equal(block(x), x)
    optimizer = torch.optim.SGD(block.parameters(), lr=0.1)
    for _ in range(2):  # the first step wakes the last convolution, and only then do the others have a slope
        optimizer.zero_grad()
        block(x).square().sum().backward()
        optimizer.step()
    assert all(parameter.grad.abs().sum() > 0 for parameter in block.parameters())


def test_what_a_block_is_told_moves_it_from_the_second_step_on_and_each_image_by_itself():
    with seeding.initialising(0, "block"):
        block = ResidualBlock(8, 16, condition=4)
    x, told = pictures(2)[:, :1].expand(2, 8, 32, 32), torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0]])
    assert torch.equal(block(x, told), block(x, 2 * told))
    optimizer = torch.optim.SGD(block.parameters(), lr=0.1)
    for _ in range(3):  # the correction wakes first, then the modulation
        optimizer.zero_grad()
        (block(x, told) - 1).square().mean().backward()
        optimizer.step()
    assert all(parameter.grad.abs().sum() > 0 for parameter in block.parameters())
    both = block(x, told)
    assert not torch.allclose(both, block(x, told.flip(0)))
    torch.testing.assert_close(both[:1], block(x[:1], told[:1]))


@pytest.mark.parametrize("config", [VECTOR, MAP])
def test_bfloat16_agrees_with_float32_to_its_own_precision(config):
    network, image, noise = built(config), pictures(2), torch.ones(2, config.latent)
    exact = network(image, noise)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network(image, noise)
    rounded[0].float().square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
    for one, other in zip(exact, rounded, strict=True):
        assert (one - other.float()).abs().max() < 0.05 * one.abs().max()


def test_the_default_has_the_cost_that_the_readme_states():
    network = built(ResidualVaeConfig())
    assert count_parameters(network) == pytest.approx(1.86e6, rel=0.01)
    assert multiply_adds(network, pictures(1), torch.zeros(1, 128)) == pytest.approx(94.3e6, rel=0.01)


@pytest.mark.parametrize(("map_px", "size"), [(6, 32), (32, 32), (64, 32), (8, 8)])
def test_a_map_that_halving_does_not_reach_is_refused_with_those_it_does(map_px, size):
    config = ResidualVaeConfig(latent=map_px**2, map_px=map_px)
    sides = {32: "4, 8, 16", 8: "4"}[size]
    with pytest.raises(ValueError, match=f"found map_px {map_px} for images of {size} px, expected one of {sides}$"):
        config.check(size)


def test_numbers_that_do_not_fill_the_map_are_refused():
    with pytest.raises(ValidationError, match="found latent 100 for a map of 8 x 8, expected a multiple of 64"):
        ResidualVaeConfig(latent=100, map_px=8)
