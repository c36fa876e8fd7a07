"""Small recipes of every family and network, untrained, and pictures to feed them."""

import io
from contextlib import closing

import numpy as np
import pytest
import torch
from PIL import Image

from components.corruption import CorruptionMix
from components.data import Loader, Samples, ShapesSource, Share
from components.models.ffc import FfcConfig
from components.models.residual_vae import ResidualVaeConfig
from components.models.resnet import ResnetConfig
from components.models.vae import ConvVaeConfig
from components.recipes.couplings import FlowConfig
from components.recipes.export import ModelCard, write_export
from components.recipes.inpainter import InpainterConfig
from components.recipes.mixture import MixtureConfig
from components.recipes.recipe import PRODUCER, RestorerRecipe
from components.recipes.vae import VaeConfig
from components.training.config import TrainingConfig
from components.training.ema import EmaConfig
from components.training.guard import Guard
from components.training.loop import TrainContext, train
from components.training.state import TrainingState
from tests import examples

SIZE = 16
FEW = MixtureConfig(components=1, least_variance=0.1)
"""What sixteen pictures are enough for."""
RECIPES = {
    **examples.RECIPES,
    "conv_vae": VaeConfig(network=ConvVaeConfig(latent=8, width=4)),
    "vae with a mixture": VaeConfig(network=ConvVaeConfig(latent=8, width=4), mixture=FEW),
    "vae of maps with a mixture": VaeConfig(network=ResidualVaeConfig(latent=16, map_px=4, width=8), mixture=FEW),
    "vae with a flow": VaeConfig(
        network=ConvVaeConfig(latent=7, width=4), flow=FlowConfig(couplings=3, width=8, steps=60)
    ),
    "ffc": InpainterConfig(network=FfcConfig(width=4, blocks=1)),
    "restorer": InpainterConfig(network=ResnetConfig(width=8, blocks=2), restores="everything"),
}
FILLERS = [
    name
    for name, recipe in RECIPES.items()
    if isinstance(recipe, RestorerRecipe) and getattr(recipe, "restores", "missing") == "missing"
]
"""Names of those that change missing pixels only."""


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


@pytest.fixture(scope="session")
def learn(shapes):
    """Train on sixteen shapes; return the averaged producer."""

    def run(config, steps: int):
        training = TrainingConfig(images=16 * steps, batch=16, flip=False, ema=EmaConfig(half_life_images=160))
        recipe = config.build(16, 0)
        recipe.networks.to(memory_format=torch.channels_last)
        state = TrainingState.start(recipe.networks, recipe.phases, [PRODUCER], training.ema, Guard(training.guard))
        mix = CorruptionMix(area=(0.05, 0.3)) if config.needs_corruption else None
        keys = [f"{number:032x}" for number in range(16)]
        loader = Loader(Samples(shapes, keys, "d"), Share(16), seed=0, corruption=mix)
        context = TrainContext(torch.device("cpu"), 0, lambda: False, lambda values: None, 10**6)
        with closing(loader.batches(0)) as batches:
            train(recipe.phases, state, batches, training, context)
        return config.producer(state.averages[PRODUCER].network)

    return run
