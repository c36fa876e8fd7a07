"""Each family learns a few pictures by heart, a bit: the whole chain from loss to weights points downhill."""

import numpy as np
import pytest
import torch

from components.corruption import CorruptionMix
from components.models.dcgan import DcganDiscriminatorConfig, DcganGeneratorConfig
from components.models.eye import Eye
from components.models.gated_unet import GatedUnetConfig
from components.models.hierarchical_vae import HierarchicalVaeConfig
from components.models.patch import PatchDiscriminatorConfig
from components.models.projected import ProjectedDiscriminatorConfig
from components.models.r3net import R3DiscriminatorConfig, R3GeneratorConfig
from components.models.residual_vae import ResidualVaeConfig
from components.models.resnet import ResnetConfig
from components.models.skip_excitation import SkipExcitationDiscriminatorConfig, SkipExcitationGeneratorConfig
from components.models.sngan_res import SnganDiscriminatorConfig, SnganGeneratorConfig
from components.models.vae import ConvVaeConfig
from components.objectives.adaptation import AdaptiveConfig
from components.objectives.adversarial import Hinge, NonSaturating, Relativistic
from components.objectives.augmentation import AugmentationConfig
from components.objectives.features import FeatureLossConfig, features_apart
from components.objectives.lecam import LecamConfig
from components.objectives.logistic import LogisticMixture
from components.objectives.variational import VariationalConfig
from components.pictures.pixels import to_tensor
from components.recipes.gan import GanConfig
from components.recipes.inpainter import AdversaryConfig, InpainterConfig
from components.recipes.recipe import PRODUCER
from components.recipes.vae import VaeConfig
from components.training.optimizer import AdamConfig

pytestmark = pytest.mark.slow
QUICK = AdamConfig(rate=2e-3, betas=(0.9, 0.99))


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


def of_mean_picture(shapes: np.ndarray) -> float:
    return distance(np.broadcast_to(shapes.mean(axis=0), shapes.shape), shapes)


def test_a_vae_reconstructs_what_it_has_seen(learn, shapes):
    config = VaeConfig(network=ConvVaeConfig(latent=16, width=16), optimizer=QUICK)
    after = distance(learn(config, 150).reconstruct(shapes), shapes)
    assert after < 0.6 * of_mean_picture(shapes)


@pytest.mark.parametrize("latent", [{"latent": 16}, {"latent": 64, "map_px": 4}], ids=["vector", "map"])
def test_a_residual_vae_knows_sixteen_pictures_by_heart(latent, learn, shapes):
    quick = QUICK.model_copy(update={"rate": 5e-3})
    config = VaeConfig(network=ResidualVaeConfig(width=16, **latent), optimizer=quick)
    producer = learn(config, 150)
    assert distance(producer.reconstruct(shapes), shapes) < 0.25 * of_mean_picture(shapes)
    known, strange = (producer.bound(images, shapes, seed=0) for images in (shapes, 255 - shapes))
    assert (known.distortion + known.rate).mean() < 0.7 * shapes[0].size * np.log(256)
    assert (known.distortion + known.rate).max() < (strange.distortion + strange.rate).min()


def test_a_hierarchical_vae_with_a_mixture_for_each_pixel_knows_sixteen_pictures_by_heart(learn, shapes):
    quick = QUICK.model_copy(update={"rate": 5e-3})
    config = VaeConfig(
        network=HierarchicalVaeConfig(width=8, levels=(8, 4)),
        loss=VariationalConfig(likelihood=LogisticMixture(components=2)),
        optimizer=quick,
    )
    producer = learn(config, 150)
    assert distance(producer.reconstruct(shapes), shapes) < 0.4 * of_mean_picture(shapes)
    known, strange = (producer.bound(images, shapes, seed=0) for images in (shapes, 255 - shapes))
    assert (known.distortion + known.rate).mean() < 0.8 * shapes[0].size * np.log(256)
    assert (known.distortion + known.rate).max() < (strange.distortion + strange.rate).min()


def test_a_vae_that_also_goes_by_features_knows_sixteen_pictures_by_heart_and_comes_nearer_in_these(learn, shapes):
    quick = QUICK.model_copy(update={"rate": 5e-3})
    network, eye = ResidualVaeConfig(width=16, latent=16), Eye(16, (0, 2, 4))
    apart = {}
    for features in (None, FeatureLossConfig(weight=1.0)):
        config = VaeConfig(network=network, loss=VariationalConfig(features=features), optimizer=quick)
        made = learn(config, 100).reconstruct(shapes)
        assert distance(made, shapes) < 0.5 * of_mean_picture(shapes)
        seen = [eye(to_tensor(pictures, torch.device("cpu"))) for pictures in (made, shapes)]
        apart[features] = features_apart(*seen).item()
    without, trained_by = apart.values()
    assert trained_by < 0.9 * without


ADVERSARY = AdversaryConfig(discriminator=PatchDiscriminatorConfig(width=8, layers=2))


@pytest.mark.parametrize(
    ("network", "adversary"),
    [(ResnetConfig(width=16, blocks=2), None), (GatedUnetConfig(width=8), ADVERSARY)],
    ids=["resnet", "gated_unet against patches"],
)
def test_an_inpainter_mends_better_than_the_fill_it_starts_from(network, adversary, learn, shapes):
    config = InpainterConfig(network=network, adversary=adversary, optimizer=QUICK)
    keys = [f"{number:032x}" for number in range(16)]
    corrupted, missing = CorruptionMix(area=(0.05, 0.3)).corrupt_batch(shapes, keys, [999] * 16, seed=5)
    untrained = config.producer(config.build(16, 0).networks[PRODUCER].eval())
    errors = [
        distance(producer.restore(corrupted, missing)[missing], shapes[missing])
        for producer in (untrained, learn(config, 300))
    ]
    assert errors[1] < 0.9 * errors[0]


NO_MOMENTUM = QUICK.model_copy(update={"betas": (0.0, 0.99)})
GANS = {
    "dcgan": GanConfig(
        generator=DcganGeneratorConfig(latent=16, width=16),
        discriminator=DcganDiscriminatorConfig(width=16),
        loss=Relativistic(r1=0.5, r2=0.5),
        optimizer=NO_MOMENTUM,
        discriminator_optimizer=NO_MOMENTUM,
    ),
    "r3net": GanConfig(
        generator=R3GeneratorConfig(latent=16, width=16, blocks=1),
        discriminator=R3DiscriminatorConfig(width=16, blocks=1),
        loss=Relativistic(r1=0.5, r2=0.5),
        optimizer=NO_MOMENTUM,
        discriminator_optimizer=NO_MOMENTUM,
    ),
    "sngan_res": GanConfig(
        generator=SnganGeneratorConfig(latent=16, width=16),
        discriminator=SnganDiscriminatorConfig(width=16),
        loss=Hinge(),
        optimizer=NO_MOMENTUM,
        discriminator_optimizer=NO_MOMENTUM,
    ),
    "biggan": GanConfig(
        generator=SnganGeneratorConfig(
            latent=18, width=16, split_noise=True, attention_px=8, initialisation="orthogonal"
        ),
        discriminator=SnganDiscriminatorConfig(width=16, attention_px=8, initialisation="orthogonal"),
        loss=Hinge(),
        optimizer=NO_MOMENTUM,
        discriminator_optimizer=NO_MOMENTUM,
    ),
    "skip_excitation": GanConfig(
        generator=SkipExcitationGeneratorConfig(latent=16, width=16),
        discriminator=SkipExcitationDiscriminatorConfig(width=16),
        loss=NonSaturating(r1=0.5),
        augmentation=AugmentationConfig(colour=False, cutout=0.25, adaptive=AdaptiveConfig(images=2_000)),
        lecam=LecamConfig(),
        optimizer=NO_MOMENTUM,
        discriminator_optimizer=NO_MOMENTUM,
    ),
    "projected": GanConfig(
        generator=DcganGeneratorConfig(latent=16, width=16),
        discriminator=ProjectedDiscriminatorConfig(pixels=DcganDiscriminatorConfig(width=16)),
        loss=NonSaturating(r1=0.5, penalty_every=8),
        augmentation=False,
        optimizer=NO_MOMENTUM,
        discriminator_optimizer=NO_MOMENTUM,
    ),
}

STEPS = {"dcgan": 200, "r3net": 100, "sngan_res": 100, "biggan": 100, "skip_excitation": 150, "projected": 100}


@pytest.mark.parametrize("name", GANS)
def test_a_gan_makes_pictures_nearer_to_the_real_ones_than_noise(name, learn, shapes):
    config = GANS[name]
    untrained = config.producer(config.build(16, 0).networks[PRODUCER].eval()).generate(64, 1)

    def nearest(pictures: np.ndarray) -> float:
        return float(np.mean([min(distance(picture, real) for real in shapes) for picture in pictures]))

    assert nearest(learn(config, STEPS[name]).generate(64, 1)) < 0.7 * nearest(untrained)
