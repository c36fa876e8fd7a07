"""Every network of every union: shapes, ranges, gradients, determinism and a little learning."""

import copy

import pytest
import torch

from components import seeding
from components.models import (
    DiscriminatorConfig,
    GeneratorConfig,
    InpainterNetworkConfig,
    PatchDiscriminatorConfig,
    VaeNetworkConfig,
)
from components.models.dcgan import DcganDiscriminatorConfig, DcganGeneratorConfig
from components.models.ffc import FfcConfig
from components.models.gated_unet import GatedUnetConfig
from components.models.norm import BatchNorm2d
from components.models.pconv import PconvConfig
from components.models.residual_vae import ResidualVaeConfig
from components.models.resnet import ResnetConfig
from components.models.vae import reparameterise
from components.objectives.penalty import with_slopes
from components.section import kinds
from tests.examples import example

SMALL = 8  # channels
DISCRIMINATORS = [
    DcganDiscriminatorConfig(width=SMALL, normalisation=normalisation, activation=activation)
    for normalisation in ("none", "batch", "spectral")
    for activation in ("leaky_relu", "prelu")
] + [example(cls) for cls in kinds(DiscriminatorConfig) if cls is not DcganDiscriminatorConfig]


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeding.torch_generator(seed, "test"))


def picture(batch, height, width=None, seed=0):
    return normal(batch, 3, height, width or height, seed=seed).clamp(-1, 1)


def hole(batch, height, width=None):
    missing = torch.zeros(batch, 1, height, width or height)
    missing[:, :, height // 4 : height // 2, 2:7] = 1
    return missing


def built(config, *size, seed=0):
    with seeding.initialising(seed, "network"):
        return config.build(*size)


def stir(network):
    """Move every weight, for some start at zero."""
    generator = seeding.torch_generator(0, "stir")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)


def small(cls):
    return cls(width=SMALL) if "width" in cls.model_fields else example(cls)


def assert_all_learn(network, loss):
    loss.backward()
    silent = [name for name, value in network.named_parameters() if value.grad is None]
    assert not silent
    assert all(torch.isfinite(value.grad).all() for value in network.parameters())


def falls_by_half(loss_of, parameters, steps, rate=3e-3):
    optimizer = torch.optim.Adam(parameters, lr=rate)
    first = loss_of().item()
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of().backward()
        optimizer.step()
    return loss_of().item() < first / 2


@pytest.mark.parametrize("cls", kinds(GeneratorConfig))
@pytest.mark.parametrize("size", [8, 32, 64])
def test_a_generator_makes_images_of_the_size_asked_for_and_all_of_it_learns(cls, size):
    network = built(small(cls), size)
    image = network(normal(2, network.latent))
    assert image.shape == (2, 3, size, size)
    assert image.abs().max() <= 1
    assert_all_learn(network, image.square().mean())


@pytest.mark.parametrize("config", DISCRIMINATORS)
@pytest.mark.parametrize("size", [8, 32, 64])
def test_a_discriminator_gives_one_logit_per_image_and_all_of_it_learns(config, size):
    network = built(config, size)
    logits = network(picture(3, size))
    assert logits.shape == (3,)
    assert_all_learn(network, logits.square().mean())


@pytest.mark.parametrize("config", DISCRIMINATORS)
def test_a_discriminator_says_whether_it_judges_each_image_by_itself(config):
    network, images = built(config, 16), picture(3, 16)
    network(images)  # spectral norms and running statistics move
    both = copy.deepcopy(network)(images)[:1], copy.deepcopy(network)(images[:1])
    assert torch.allclose(*both, atol=1e-5) is not config.mixes_samples


@pytest.mark.parametrize("cls", kinds(DiscriminatorConfig))
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_all_of_a_discriminator_learns_from_the_penalty_on_its_slope(cls, precision):
    network, images = built(small(cls), 16), picture(2, 16)
    stir(network)
    with torch.autocast("cpu", precision, enabled=precision is torch.bfloat16):
        penalty = with_slopes(network, images).slopes.square().sum()
    penalty.backward()
    # What is added to the logits whatever the image has no part in the slope.
    felt = [name for name, value in network.named_parameters() if value.grad is not None and value.grad.any()]
    assert {name for name, _ in network.named_parameters() if "weight" in name} <= set(felt)
    assert all(torch.isfinite(value.grad).all() for value in network.parameters() if value.grad is not None)


@pytest.mark.parametrize("cls", [*kinds(GeneratorConfig), *kinds(DiscriminatorConfig)])
def test_a_conditional_network_needs_classes_and_tells_them_apart(cls):
    config = small(cls)
    network = built(config, 16, 3)
    stir(network)
    given = normal(1, network.latent) if hasattr(network, "latent") else picture(1, 16)
    network.eval()
    one, other = (network(given, torch.tensor([number])) for number in (0, 2))
    assert one.shape == other.shape
    assert not torch.allclose(one, other)
    with pytest.raises(ValueError, match="found images without classes"):
        network(given)
    assert_all_learn(network.train(), network(given.repeat_interleave(2, 0), torch.tensor([0, 2])).square().mean())


VAES = [*(small(cls) for cls in kinds(VaeNetworkConfig)), ResidualVaeConfig(width=SMALL, latent=32, map_px=4)]


@pytest.mark.parametrize("config", VAES)
@pytest.mark.parametrize("size", [8, 32, 64])
def test_a_vae_encodes_to_a_normal_and_decodes_to_what_is_said_of_each_pixel(config, size):
    network = built(config, size, 5)
    assert network.latent == config.code_size
    noise = normal(2, network.latent)
    mean, log_variance = network.encode(picture(2, size), noise)
    assert mean.shape == log_variance.shape == (2, network.latent)
    said, mean, log_variance = network(picture(2, size), noise)
    assert said.shape == (2, 5, size, size)
    assert_all_learn(network, said.square().mean() + mean.square().mean() + log_variance.square().mean())


@pytest.mark.parametrize("config", VAES)
def test_what_a_vae_says_in_training_is_what_it_decodes_from_the_code_drawn(config):
    network, noise = built(config, 16).eval(), normal(2, config.code_size)
    stir(network)
    said, mean, log_variance = network(picture(2, 16), noise)
    torch.testing.assert_close(said, network.decode(reparameterise(mean, log_variance, noise)))


def test_a_reparameterised_draw_has_the_mean_and_the_variance_asked_for():
    noise = normal(200_000, 1)
    draw = reparameterise(torch.full_like(noise, 3.0), torch.full_like(noise, 2.0).log() * 2, noise)
    assert draw.mean().item() == pytest.approx(3, abs=0.02)
    assert draw.std().item() == pytest.approx(2, abs=0.02)


@pytest.mark.parametrize("cls", kinds(InpainterNetworkConfig))
@pytest.mark.parametrize(("height", "width"), [(16, 16), (32, 32), (24, 40)])
def test_an_inpainter_mends_any_size_that_its_stride_divides(cls, height, width):
    network = built(small(cls), 32)
    assert height % network.stride == width % network.stride == 0
    image = network(picture(2, height, width), hole(2, height, width))
    assert image.shape == (2, 3, height, width)
    assert image.abs().max() <= 1 + 1e-6
    assert_all_learn(network, image.square().mean())


@pytest.mark.parametrize("cls", kinds(InpainterNetworkConfig))
def test_an_inpainter_never_reads_what_missing_pixels_hold(cls):
    network = built(small(cls), 32)
    missing = hole(2, 32)
    one, other = picture(2, 32), picture(2, 32, seed=1)
    mixed = (1 - missing) * one + missing * other
    assert torch.equal(network(one, missing), network(mixed, missing))


@pytest.mark.parametrize("cls", kinds(InpainterNetworkConfig))
def test_an_untrained_inpainter_leaves_known_pixels_as_they_are(cls):
    image, missing = picture(2, 32), hole(2, 32)
    mended = built(small(cls), 32).eval()(image, missing)
    known = (missing == 0).expand_as(image)
    assert torch.equal(mended[known], image[known])


@pytest.mark.parametrize("cls", kinds(InpainterNetworkConfig))
def test_the_images_of_a_batch_do_not_influence_how_one_is_mended(cls):
    network = built(small(cls), 32)
    if any(isinstance(layer, BatchNorm2d) for layer in network.modules()):
        network.eval()  # in training its statistics are those of the batch
    image, missing = picture(3, 32), hole(3, 32)
    torch.testing.assert_close(network(image, missing)[:1], network(image[:1], missing[:1]))


@pytest.mark.parametrize("normalisation", ["none", "spectral"])
@pytest.mark.parametrize("layers", [2, 3, 4])
def test_a_patch_discriminator_gives_a_map_of_logits(normalisation, layers):
    network = built(PatchDiscriminatorConfig(width=SMALL, layers=layers, normalisation=normalisation))
    logits, features = network.with_features(picture(2, 32))
    assert logits.shape == (2, 1, 32 >> (layers - 1), 32 >> (layers - 1))
    assert len(features) == layers
    assert_all_learn(network, logits.square().mean())


@pytest.mark.parametrize(
    "config", [small(cls) for cls in (*kinds(GeneratorConfig), *kinds(DiscriminatorConfig), *kinds(VaeNetworkConfig))]
)
@pytest.mark.parametrize("size", [4, 12, 33, 48])
def test_a_size_that_is_no_doubling_of_4_px_is_refused_by_its_number(config, size):
    with pytest.raises(ValueError, match=f"found images of {size} px, expected 8, 16, 32"):
        config.build(size)


@pytest.mark.parametrize("cls", kinds(InpainterNetworkConfig))
def test_a_size_that_the_stride_does_not_divide_is_refused_by_its_number(cls):
    stride = cls().build(32).stride
    with pytest.raises(ValueError, match=f"found images of 30 px, expected a multiple of {stride} px"):
        cls().build(30)


def test_a_dilation_under_one_pixel_is_refused():
    with pytest.raises(ValueError, match="found dilations"):
        GatedUnetConfig(dilations=(0,)).build(32)


@pytest.mark.parametrize(
    ("config", "size"),
    [
        *[(small(cls), (16,)) for cls in kinds(GeneratorConfig)],
        *[(config, (16,)) for config in VAES],
        *[(config, (16,)) for config in DISCRIMINATORS],
        *[(small(cls), (16,)) for cls in kinds(InpainterNetworkConfig)],
        (PatchDiscriminatorConfig(width=SMALL), ()),
    ],
)
def test_weights_follow_from_the_seed_alone(config, size):
    one, same, other = (built(config, *size, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_dropout_acts_in_training_only():
    for config, given in [
        (DcganGeneratorConfig(width=SMALL, dropout=0.5), normal(4, 128)),
        (DcganDiscriminatorConfig(width=SMALL, dropout=0.5), picture(4, 16)),
    ]:
        network = built(config, 16)
        assert not torch.equal(network(given), network(given))
        network.eval()
        assert torch.equal(network(given), network(given))


def test_a_spectrally_normalised_discriminator_is_no_steeper_than_its_layers_allow():
    network = built(DcganDiscriminatorConfig(width=SMALL, normalisation="spectral"), 16)
    with torch.no_grad():
        for _ in range(20):
            network(picture(1, 16))
    for layer in (*network.stages, network.last):
        if hasattr(layer, "parametrizations"):
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02)


def test_activations_neither_vanish_nor_explode_through_an_untrained_network():
    last_seen = {}

    def watch(name):
        return lambda module, given, out: last_seen.update({name: out.detach()})

    network = built(GatedUnetConfig(), 32)
    network.middle.register_forward_hook(watch("gated"))
    network(picture(4, 32), hole(4, 32))
    generator = built(DcganGeneratorConfig(width=32, normalisation="none"), 64)
    generator.stages.register_forward_hook(watch("generator"))
    generator(normal(4, generator.latent))
    discriminator = built(DcganDiscriminatorConfig(width=32), 64)
    discriminator.stages.register_forward_hook(watch("discriminator"))
    discriminator(picture(4, 64))
    for name, out in last_seen.items():
        assert 0.1 < out.square().mean().sqrt() < 3, name


LEARNERS = [ResnetConfig(width=16), GatedUnetConfig(width=12)]
BATCH_LEARNERS = [FfcConfig(width=12, blocks=1), PconvConfig(width=24, halvings=2)]
"""Their batch statistics want more than two images."""
TUNED = {type(config) for config in (*LEARNERS, *BATCH_LEARNERS)}
LEARNERS += [example(cls) for cls in kinds(InpainterNetworkConfig) if cls not in TUNED]


@pytest.mark.parametrize("config", LEARNERS)
def test_an_inpainter_learns_a_tiny_batch(config):
    network = built(config, 16)
    target = picture(2, 8).repeat_interleave(2, 2).repeat_interleave(2, 3)
    missing = hole(2, 16)
    assert falls_by_half(
        lambda: ((network(target * (1 - missing), missing) - target) * missing).abs().mean(), network.parameters(), 60
    )


@pytest.mark.slow
@pytest.mark.parametrize("config", BATCH_LEARNERS)
def test_a_network_with_batch_statistics_learns_sixteen_images_by_heart(config):
    network = built(config, 16)
    target = picture(16, 8).repeat_interleave(2, 2).repeat_interleave(2, 3)
    missing = hole(16, 16)
    assert falls_by_half(
        lambda: ((network(target * (1 - missing), missing) - target) * missing).abs().mean(),
        network.parameters(),
        60,
        rate=1e-2,
    )


@pytest.mark.parametrize("config", VAES)
def test_a_vae_learns_a_tiny_batch(config):
    network = built(config, 16)
    target = picture(4, 8).repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert falls_by_half(
        lambda: (network.decode(network.encode(target)[0]) - target).square().mean(), network.parameters(), 60
    )


@pytest.mark.parametrize("cls", kinds(GeneratorConfig))
def test_a_generator_learns_a_tiny_batch(cls):
    network = built(small(cls), 16)
    target, latent = picture(4, 8).repeat_interleave(2, 2).repeat_interleave(2, 3), normal(4, network.latent)
    assert falls_by_half(lambda: (network(latent) - target).square().mean(), network.parameters(), 60)


@pytest.mark.parametrize("config", [config for config in DISCRIMINATORS if not config.mixes_samples])
def test_a_discriminator_learns_to_tell_two_batches_apart(config):
    network = built(config, 16)
    images = torch.cat([picture(4, 16), picture(4, 16, seed=1)])
    sign = torch.tensor([1.0] * 4 + [-1.0] * 4)
    assert falls_by_half(lambda: torch.nn.functional.softplus(-sign * network(images)).mean(), network.parameters(), 60)


def test_a_patch_discriminator_learns_to_tell_two_batches_apart():
    network = built(PatchDiscriminatorConfig(width=SMALL, normalisation="none"))
    images = torch.cat([picture(4, 16), picture(4, 16, seed=1)])
    sign = torch.tensor([1.0] * 4 + [-1.0] * 4).view(-1, 1, 1, 1)
    assert falls_by_half(lambda: torch.nn.functional.softplus(-sign * network(images)).mean(), network.parameters(), 60)
