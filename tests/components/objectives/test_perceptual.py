"""VGG's losses: from a file that must be the one named, by the paper's formula, and with a gradient for the image."""

import hashlib
import re

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from components import seeding
from components.objectives.perceptual import PerceptualConfig, PerceptualLoss, gram


def picture(seed=0, size=16):
    return torch.rand(2, 3, size, size, generator=seeding.torch_generator(seed, "test")) * 2 - 1


def written(path, state):
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return PerceptualConfig(weights=path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture(scope="session")
def vgg():
    """torchvision's own network, untrained, without its last layers' half a gigabyte."""
    from torchvision.models import vgg16

    with seeding.initialising(0, "vgg"), torch.device("meta"):
        network = vgg16(weights=None)
    network.features.to_empty(device="cpu")
    for number, value in enumerate(network.features.parameters()):
        torch.nn.init.normal_(value, std=0.1, generator=seeding.torch_generator(number, "vgg"))
    return network


@pytest.fixture(scope="session")
def state(vgg):
    return {f"features.{name}": value.detach() for name, value in vgg.features.state_dict().items()}


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_file_of_torchvisions_weights_gives_torchvisions_features(suffix, vgg, state, tmp_path):
    network = written(tmp_path / f"vgg.{suffix}", state).read()
    image = picture(size=24)
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    seen = ((image + 1) / 2 - mean) / deviation
    for found, pooling in zip(network(image), (5, 10, 17), strict=True):
        torch.testing.assert_close(found, vgg.features[:pooling](seen))
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_the_losses_are_those_of_the_paper(state, tmp_path):
    config = written(tmp_path / "vgg.safetensors", state)
    restored, delivered, target = picture(1).requires_grad_(), picture(2), picture(3)
    losses = PerceptualLoss(config).losses(restored, delivered, target)
    network, perceptual, style = config.read(), 0.0, 0.0
    for image in (restored, delivered):
        for one, goal in zip(network(image), network(target), strict=True):
            batch, channels, height, width = one.shape
            perceptual += (one - goal).abs().sum() / (batch * channels * height * width)
            grams = [torch.einsum("bihw,bjhw->bij", f, f) / (channels * height * width) for f in (one, goal)]
            style += (grams[0] - grams[1]).abs().sum() / (batch * channels**2)
    torch.testing.assert_close(losses["perceptual"], perceptual.detach())
    torch.testing.assert_close(losses["style"], style.detach())
    torch.testing.assert_close(losses["loss"], 0.05 * perceptual + 120 * style)
    losses["loss"].backward()
    assert restored.grad.abs().sum() > 0


def test_equal_images_cost_nothing_and_grams_do_not_know_where_things_are(state, tmp_path):
    loss = PerceptualLoss(written(tmp_path / "vgg.safetensors", state))
    assert loss.losses(picture(), picture(), picture())["loss"] == 0
    features = picture(4)
    torch.testing.assert_close(gram(features), gram(features.flip(2, 3)))


def test_under_bfloat16_autocast_grams_stay_in_single_precision(state, tmp_path):
    loss = PerceptualLoss(written(tmp_path / "vgg.safetensors", state))
    with torch.autocast("cpu", torch.bfloat16):
        low = loss.losses(picture(1), picture(1), picture(2))
    assert low["loss"].dtype == torch.float32
    torch.testing.assert_close(low["loss"], loss.losses(picture(1), picture(1), picture(2))["loss"], rtol=0.05, atol=0)


def test_a_missing_file_is_named_with_what_was_expected(tmp_path):
    config = PerceptualConfig(weights=tmp_path / "none.pth", sha256="ab" * 32)
    with pytest.raises(
        ValueError, match=r"none.pth: there is no such file; expected .* vgg16, sha256 abababababababab"
    ):
        config.read()


def test_another_file_is_refused_by_both_digests(state, tmp_path):
    config = written(tmp_path / "vgg.safetensors", state).model_copy(update={"sha256": "ab" * 32})
    with pytest.raises(ValueError, match=r"its sha256 is [0-9a-f]{16}…, expected abababababababab…"):
        config.read()


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: {name: value for name, value in state.items() if "14" not in name}, "'features.14.weight'"),
        (lambda state: state | {"features.0.weight": torch.zeros(8, 3, 3, 3)}, "size mismatch for features.0.weight"),
    ],
)
def test_the_weights_of_another_network_are_refused_by_name(suffix, change, words, state, tmp_path):
    config = written(tmp_path / f"other.{suffix}", change(state))
    with pytest.raises(ValueError, match=rf"(?s)expected the weights of torchvision's vgg16 \(.*{re.escape(words)}"):
        config.read()


def test_a_file_that_holds_no_tensors_is_refused(tmp_path):
    with pytest.raises(ValueError, match="found list instead of names and tensors"):
        written(tmp_path / "list.pth", [1]).read()


def test_a_digest_that_is_none_is_refused(tmp_path):
    with pytest.raises(ValidationError, match="sha256"):
        PerceptualConfig(weights=tmp_path / "x", sha256="397923af")
