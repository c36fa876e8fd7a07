"""One small recipe of every family, untrained, and pictures to feed them."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from components.data import ShapesSource
from components.models.dcgan import DcganDiscriminatorConfig, DcganGeneratorConfig
from components.models.ffc import FfcConfig
from components.models.gated_unet import GatedUnetConfig
from components.models.pconv import PconvConfig
from components.models.r3net import R3DiscriminatorConfig, R3GeneratorConfig
from components.models.residual_vae import ResidualVaeConfig
from components.models.resnet import ResnetConfig
from components.models.sngan_res import SnganDiscriminatorConfig, SnganGeneratorConfig
from components.models.vae import ConvVaeConfig
from components.recipes.export import ModelCard, write_export
from components.recipes.gan import GanConfig
from components.recipes.inpainter import InpainterConfig
from components.recipes.mixture import MixtureConfig
from components.recipes.recipe import PRODUCER
from components.recipes.vae import VaeConfig

SIZE = 16
RECIPES = {
    "gan": GanConfig(
        generator=DcganGeneratorConfig(latent=8, width=4), discriminator=DcganDiscriminatorConfig(width=4)
    ),
    "r3net by class": GanConfig(
        generator=R3GeneratorConfig(latent=8, width=8, blocks=1),
        discriminator=R3DiscriminatorConfig(width=8, blocks=1),
        conditional=True,
        classes={"cat": 3, "dog": 1},
    ),
    "sngan_res": GanConfig(
        generator=SnganGeneratorConfig(latent=8, width=8), discriminator=SnganDiscriminatorConfig(width=8)
    ),
    "vae": VaeConfig(network=ConvVaeConfig(latent=8, width=4)),
    "vae with a mixture": VaeConfig(
        network=ConvVaeConfig(latent=8, width=4), mixture=MixtureConfig(components=1, least_variance=0.1)
    ),
    "vae of maps with a mixture": VaeConfig(
        network=ResidualVaeConfig(latent=16, map_px=4, width=8), mixture=MixtureConfig(components=1, least_variance=0.1)
    ),
    "resnet": InpainterConfig(network=ResnetConfig(width=8, blocks=2)),
    "gated_unet": InpainterConfig(network=GatedUnetConfig(width=4)),
    "ffc": InpainterConfig(network=FfcConfig(width=4, blocks=1)),
    "pconv": InpainterConfig(network=PconvConfig(width=4, halvings=2)),
    "restorer": InpainterConfig(network=ResnetConfig(width=8, blocks=2), restores="everything"),
}


@pytest.fixture(scope="session")
def recipes():
    return RECIPES


def lively(config) -> torch.nn.Module:
    """Return the recipe's producing network, stirred, because inpainters start as the identity on a simple fill."""
    network = config.build(SIZE, 1).networks[PRODUCER]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return network


@pytest.fixture(scope="session")
def producers(shapes):
    """Producers by name, behind the interface that evaluation and serving use."""
    return {name: config.producer(config.finished(lively(config), shapes, 1)) for name, config in RECIPES.items()}


@pytest.fixture(scope="session")
def exports(tmp_path_factory, shapes):
    """Exported folders by name."""
    folders = {}
    for name, config in RECIPES.items():
        folders[name] = tmp_path_factory.mktemp(name)
        network = config.finished(lively(config), shapes, 1)
        write_export(folders[name], network, ModelCard(size=SIZE, recipe=config, images=128))
    return folders


@pytest.fixture(scope="session")
def shapes():
    """Sixteen drawn pictures, uint8 (16, 16, 16, 3)."""
    items = ShapesSource(images=16, raster_px=SIZE).items()
    return np.stack([np.asarray(Image.open(io.BytesIO(item.content)).convert("RGB")) for item in items])
