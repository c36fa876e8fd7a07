"""The VAE of levels: where its numbers lie, what they depend on, and what their divergence stands for."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from components import seeding
from components.models.hierarchical_vae import HierarchicalVaeConfig
from components.models.summary import count_parameters, multiply_adds
from components.objectives.variational import divergence

SMALL = HierarchicalVaeConfig(width=8, levels=(4, 2, 1), blocks=2)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=seeding.torch_generator(seed, "test"))


def built(config=SMALL, size=32):
    """Return the network with weights that were moved, for parts of it say nothing at first."""
    with seeding.initialising(0, "network"):
        network = config.build(size, 20).to(memory_format=torch.channels_last)
    generator = seeding.torch_generator(0, "stir")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    return network


def pictures(count, size=32):
    return drawn(count, 3, size, size).clamp(-1, 1).to(memory_format=torch.channels_last)


def test_a_code_holds_the_numbers_of_every_place_of_every_block():
    assert SMALL.code_size == 2 * (4 * 4**2 + 2 * 8**2 + 16**2) == built().latent


def test_finer_numbers_are_inferred_from_what_was_drawn_for_coarser_ones_and_not_the_other_way():
    network, image, noise = built(), pictures(1), drawn(1, SMALL.code_size)
    coarse = 4 * 4**2  # of the first block
    other = noise.clone()
    other[:, coarse:] += 1
    (mean, _), (same, _) = network.encode(image, noise), network.encode(image, other)
    torch.testing.assert_close(mean[:, : 2 * coarse], same[:, : 2 * coarse])
    other = noise.clone()
    other[:, :coarse] += 1
    moved = network.encode(image, other)[0]
    torch.testing.assert_close(mean[:, :coarse], moved[:, :coarse])
    assert not torch.allclose(mean[:, coarse:], moved[:, coarse:])


def test_without_noise_all_are_inferred_from_means():
    network, image = built(), pictures(2)
    mean = network.encode(image)[0]
    torch.testing.assert_close(network(image, torch.zeros_like(mean))[0], network.decode(mean))


def test_the_divergence_in_the_prior_s_units_is_that_of_the_two_normals():
    prior_mean, prior_scale, mean, scale = drawn(4, 5, 7).double()[:, None].exp().unbind(0)
    expected = kl_divergence(Normal(mean, scale), Normal(prior_mean, prior_scale))
    found = divergence(((mean - prior_mean) / prior_scale)[0], 2 * (scale / prior_scale).log()[0])
    torch.testing.assert_close(found, expected[0])


def test_the_images_of_a_batch_do_not_influence_each_other():
    network, image, noise = built(), pictures(3), drawn(3, SMALL.code_size)
    for several, single in zip(network(image, noise), network(image[:1], noise[:1]), strict=True):
        torch.testing.assert_close(several[:1], single, rtol=1e-4, atol=1e-4)


def test_a_code_may_reach_the_images_own_side_and_not_beyond():
    HierarchicalVaeConfig(levels=(1, 1, 1, 1)).check(32)
    with pytest.raises(ValueError, match="found 5 levels for images of 32 px, expected at most 4: a map of 4 px, and"):
        HierarchicalVaeConfig(levels=(1,) * 5).check(32)


def test_bfloat16_agrees_with_float32_to_its_own_precision():
    network, image, noise = built(), pictures(2), drawn(2, SMALL.code_size)
    exact = network(image, noise)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network(image, noise)
    for one, other in zip(exact, rounded, strict=True):
        assert (one - other.float()).abs().max() < 0.05 * one.abs().max()


def test_the_default_has_the_cost_that_the_readme_states():
    config = HierarchicalVaeConfig()
    network = config.build(32)
    assert count_parameters(network) == pytest.approx(1.21e6, rel=0.01)
    assert multiply_adds(network, pictures(1), torch.zeros(1, config.code_size)) == pytest.approx(58.6e6, rel=0.01)
