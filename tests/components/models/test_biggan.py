"""BigGAN's parts against slow versions of themselves, and what they leave as it was."""

import pytest
import torch
from torch import nn

from components import seeding
from components.models.biggan import SelfAttention, StyleNorm2d, initialise_orthogonally
from components.models.sngan_res import SnganDiscriminatorConfig, SnganGeneratorConfig


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeding.torch_generator(seed, "test"))


def built(config, *size):
    with seeding.initialising(0, "network"):
        return config.build(*size)


def slow_attention(layer, x):
    """Return one image's features plus, for each place, the mean of all values weighted by likeness."""
    height, width = x.shape[1:]
    places = [(row, column) for row in range(height) for column in range(width)]
    query, key, value = (
        torch.einsum("oi,ihw->ohw", one.weight[:, :, 0, 0], x) for one in (layer.query, layer.key, layer.value)
    )
    blocks = [(row, column) for row in range(0, height, 2) for column in range(0, width, 2)]
    keys, values = (
        [one[:, row : row + 2, column : column + 2].amax((1, 2)) for row, column in blocks] for one in (key, value)
    )
    result = x.clone()
    for row, column in places:
        likeness = torch.stack([query[:, row, column] @ one for one in keys]).exp()
        found = sum(share * one for share, one in zip(likeness / likeness.sum(), values, strict=True))
        result[:, row, column] += layer.strength * (layer.output.weight[:, :, 0, 0] @ found)
    return result


def test_attention_is_that_of_the_slow_version_and_starts_as_nothing():
    layer, x = SelfAttention(8), normal(2, 8, 4, 6)
    assert torch.equal(layer(x), x)
    with torch.no_grad():
        layer.strength.fill_(0.7)
        expected = torch.stack([slow_attention(layer, one) for one in x])
        torch.testing.assert_close(layer(x), expected)


def test_styles_start_as_plain_normalisation_and_tell_images_apart_afterwards():
    norm, x, told = StyleNorm2d(3, 4), normal(2, 4, 5, 5), normal(2, 3, seed=1)
    torch.testing.assert_close(norm(x, told), nn.BatchNorm2d(4)(x))
    nn.init.normal_(norm.style.weight)
    assert not torch.allclose(norm(x, told), norm(x, told.flip(0)))


def test_orthogonal_weights_are_orthogonal():
    layer = nn.Conv2d(4, 6, 3)
    initialise_orthogonally(layer)
    rows = layer.weight.flatten(1)
    torch.testing.assert_close(rows @ rows.T, torch.eye(6))
    assert not layer.bias.any()


@pytest.mark.parametrize("part", [0, 1, 2])
def test_each_part_of_split_noise_is_heard(part):
    network = built(SnganGeneratorConfig(latent=9, width=8, split_noise=True), 16).eval()
    for block in network.blocks:
        for norm in block.norms:
            nn.init.normal_(norm.style.weight)
    noise = normal(1, 9)
    other = noise.clone()
    other[:, 3 * part : 3 * part + 3] += 1
    assert not torch.allclose(network(noise), network(other))


def test_classes_are_told_by_one_embedding_if_it_is_shared():
    shared = built(SnganGeneratorConfig(latent=8, width=8, shared_classes=True), 32, 5)
    own = built(SnganGeneratorConfig(latent=8, width=8), 32, 5)
    counts = [sum(isinstance(part, nn.Embedding) for part in network.modules()) for network in (shared, own)]
    assert counts == [1, 6]


def test_features_of_the_side_asked_for_look_at_each_other():
    seen = []
    for network, given in (
        (built(SnganGeneratorConfig(latent=8, width=8, attention_px=16), 32), normal(1, 8)),
        (built(SnganDiscriminatorConfig(width=8, attention_px=16), 32), normal(1, 3, 32, 32)),
    ):
        (layer,) = (one for one in network.modules() if isinstance(one, SelfAttention))
        layer.register_forward_hook(lambda module, given, output: seen.append(output.shape[-1]))
        network(given)
    assert seen == [16, 16]


@pytest.mark.parametrize(
    ("config", "size", "words"),
    [
        (
            SnganGeneratorConfig(latent=10, split_noise=True),
            16,
            "found 10 numbers of noise to split, expected a multiple of 3",
        ),
        (SnganGeneratorConfig(attention_px=12), 32, "attention_px is 12, but the network has features of 8, 16, 32 px"),
        (SnganDiscriminatorConfig(attention_px=32), 32, "attention_px is 32, but the network has features of 16, 8 px"),
        (SnganGeneratorConfig(), 12, "found images of 12 px"),
    ],
)
def test_what_cannot_be_built_is_refused_in_words(config, size, words):
    with pytest.raises(ValueError, match=words):
        config.build(size)


def test_the_parts_are_no_part_of_digests_where_they_are_off():
    assert SnganGeneratorConfig().model_dump() == {"kind": "sngan_res", "latent": 128, "width": 256}
    assert SnganDiscriminatorConfig().model_dump() == {"kind": "sngan_res", "width": 128}
