"""The feature loss of a VAE: what it adds, whom it teaches, and that nothing but training knows of it."""

import numpy as np
import pytest
import torch

from components.data import Batch
from components.models.features import LITE0_SHA256
from components.models.hierarchical_vae import HierarchicalVaeConfig
from components.models.residual_vae import ResidualVaeConfig
from components.models.vae import ConvVaeConfig
from components.objectives.features import FeatureLossConfig
from components.objectives.logistic import LogisticMixture
from components.objectives.reconstruction import CalibratedSigma, FixedSigma
from components.objectives.variational import VariationalConfig
from components.pictures.pixels import to_tensor
from components.recipes.recipe import PRODUCER
from components.recipes.vae import VaeConfig, VaeObjective

NETWORKS = {
    "conv": ConvVaeConfig(latent=8, width=4),
    "residual": ResidualVaeConfig(latent=8, width=8),
    "hierarchical": HierarchicalVaeConfig(levels=(4, 2), width=8),
}
LIKELIHOODS = {"fixed": FixedSigma(), "calibrated": CalibratedSigma(), "logistic": LogisticMixture(components=2)}
WEIGHT = 0.5


def config(network="residual", likelihood="calibrated", features=None) -> VaeConfig:
    loss = VariationalConfig(likelihood=LIKELIHOODS[likelihood], features=features)
    return VaeConfig(network=NETWORKS[network], loss=loss)


@pytest.fixture(scope="module")
def batch(shapes):
    images = to_tensor(shapes, torch.device("cpu"))
    return Batch(images, None, None, seed=1, first_image=0, offset=0, global_size=len(shapes))


def objective(**choices) -> VaeObjective:
    (phase,) = config(**choices).build(16, 1).phases
    assert isinstance(phase.objective, VaeObjective)
    return phase.objective


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("network", NETWORKS)
def test_it_is_added_to_the_bound_which_stays_as_it_is_and_its_gradient_reaches_encoder_and_decoder(
    network, likelihood, batch
):
    without = objective(network=network, likelihood=likelihood)
    taught = objective(network=network, likelihood=likelihood, features=FeatureLossConfig(weight=WEIGHT))
    plain, losses = without(batch, 0), taught(batch, 0)
    assert 0 < losses["features"] < 4
    for name in plain.keys() - {"loss"}:
        assert torch.equal(losses[name], plain[name])
    nats = WEIGHT * batch.images[0].numel() * losses["features"]
    torch.testing.assert_close(losses["loss"].detach(), plain["loss"].detach() + nats)
    for one in (plain, losses):
        one["loss"].backward()
    moved = {
        name
        for (name, own), other in zip(taught.network.named_parameters(), without.network.parameters(), strict=True)
        if not torch.allclose(own.grad, other.grad)
    }
    assert any(name.startswith("last.") for name in moved)
    assert any(name.startswith(("encoder.", "bottom_up.")) for name in moved)
    assert all(value.grad is None for value in taught.eye._hidden[0].parameters())


def test_a_decoder_that_gives_the_picture_back_pays_nothing_for_features(batch):
    taught = objective(features=FeatureLossConfig())

    class Perfect(torch.nn.Module):
        latent = 8

        def forward(self, images, noise):
            return torch.atanh(images.clamp(-1 + 1e-6, 1 - 1e-6)), noise, noise

    taught.network = Perfect()
    assert taught(batch, 0)["features"] < 1e-6


def test_under_bfloat16_autocast_features_are_those_of_single_precision(batch):
    taught = objective(features=FeatureLossConfig())
    expected = taught(batch, 0)["features"]
    with torch.autocast("cpu", torch.bfloat16):
        found = taught(batch, 0)
    assert found["features"].dtype == torch.float32
    torch.testing.assert_close(found["features"], expected, rtol=0.05, atol=0)
    found["loss"].backward()
    assert all(torch.isfinite(value.grad).all() for value in taught.network.parameters())


def test_neither_checkpoint_nor_export_nor_bound_knows_of_it(shapes):
    plain, taught = config(), config(features=FeatureLossConfig())
    weights = [one.build(16, 1).networks.state_dict() for one in (plain, taught)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    assert plain.serving_network(16).state_dict().keys() == taught.serving_network(16).state_dict().keys()
    bounds = [
        one.producer(one.build(16, 1).networks[PRODUCER]).bound(shapes, shapes, seed=0) for one in (plain, taught)
    ]
    assert np.array_equal(bounds[0].distortion, bounds[1].distortion)
    assert np.array_equal(bounds[0].rate, bounds[1].rate)


def test_the_recipe_says_whose_features_it_goes_by_and_pictures_may_be_resized_for_them(batch):
    assert config().features_trained_on == ()
    assert config(features=FeatureLossConfig()).features_trained_on == (LITE0_SHA256,)
    larger = objective(features=FeatureLossConfig(resolution=32, blocks=(0,)))
    assert larger.eye(batch.images)[0].shape == (16, 16, 16, 16)
