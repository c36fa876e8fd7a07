"""The smallest game the loop can play, and small trainings of the real families on drawn shapes."""

import io
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from components.corruption import CorruptionMix
from components.data import Batch, Loader, Samples, ShapesSource, Share
from components.recipes.recipe import PRODUCER
from components.training.checkpoint import CheckpointWriter, load_newest
from components.training.config import TrainingConfig
from components.training.ema import EmaConfig
from components.training.guard import Guard, GuardConfig
from components.training.loop import Ending, TrainContext, train
from components.training.optimizer import AdamConfig, RmspropConfig
from components.training.phase import Phase
from components.training.state import TrainingState

CPU = torch.device("cpu")
SIZE, BATCH, SEED = 16, 8, 3


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    """Sixteen drawn shapes, uint8 (16, 16, 16, 3)."""
    items = ShapesSource(images=16, raster_px=SIZE).items()
    return np.stack([np.asarray(Image.open(io.BytesIO(item.content)).convert("RGB")) for item in items])


class Distance(nn.Module):
    """Squared distance of a convolution's result to the image, with dropout on the way; NaN when told to be."""

    def __init__(self, network: nn.Module, dropout: float) -> None:
        super().__init__()
        self.network = network
        self.dropout = nn.Dropout(dropout)
        self.broken_at: set[int] = set()

    def forward(self, batch: Batch, images: int) -> dict[str, torch.Tensor]:
        x = batch.images * float("nan") if images in self.broken_at else batch.images
        error = (self.network(self.dropout(x)) - batch.images).square().mean()
        return {"loss": error, "first_image": torch.tensor(float(batch.first_image))}


class Game:
    """One or two phases over a convolution with batch statistics."""

    def __init__(self, *, dropout: float = 0.0, every: int = 1, skips: int = 10, optimizer=None) -> None:
        torch.manual_seed(SEED)
        network = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1)
        )
        other = nn.Conv2d(3, 3, 1)
        self.networks = nn.ModuleDict({PRODUCER: network, "other": other}).to(memory_format=torch.channels_last)
        self.objective = Distance(network, dropout)
        optimizers = (optimizer or AdamConfig(rate=1e-2), RmspropConfig(rate=1e-3))
        self.phases = (
            Phase("first", trains=network, objective=self.objective, optimizer=optimizers[0]),
            Phase("second", trains=other, objective=Distance(other, dropout), optimizer=optimizers[1], every=every),
        )
        ema = EmaConfig(half_life_images=50)
        self.state = TrainingState.start(self.networks, self.phases, [PRODUCER], ema, Guard(GuardConfig(skips=skips)))
        self.reports: list[tuple[int, dict[str, float]]] = []

    def batches(self, batch: int = BATCH) -> Iterator[Batch]:
        """Yield random pictures from where the state is."""
        place = self.state.images
        while True:
            drawn = torch.rand(batch, 3, 8, 8, generator=torch.Generator().manual_seed(place)) * 2 - 1
            yield Batch(drawn, None, None, seed=SEED, first_image=place, offset=0, global_size=batch)
            place += batch

    def train(
        self, images: int, *, intervals=(), report_every: int = 1000, should_stop=lambda: False, **options
    ) -> Ending:
        training = TrainingConfig(images=images, **({"batch": BATCH} | options))
        report = lambda values: self.reports.append((self.state.images, values))  # noqa: E731
        context = TrainContext(CPU, SEED, should_stop, report, report_every, intervals)
        return train(self.phases, self.state, self.batches(training.batch), training, context)


@pytest.fixture(scope="session")
def game() -> type[Game]:
    return Game


Trained = Callable[..., TrainingState]


@pytest.fixture(scope="session")
def trained(pixels) -> Trained:
    """Train a recipe for `images` images, from the newest checkpoint in `folder` if there is one; save at the end."""

    def run(
        config, images: int, folder: Path | None = None, *, stop_at: int | None = None, step="eager", **options
    ) -> TrainingState:
        training = TrainingConfig(images=images, batch=BATCH, **options)
        recipe = config.build(SIZE, SEED)
        recipe.networks.to(memory_format=torch.channels_last)
        state = TrainingState.start(recipe.networks, recipe.phases, [PRODUCER], training.ema, Guard(training.guard))
        if folder is not None:
            load_newest(folder, "run", state)
        loader = Loader(
            Samples(pixels, [f"{number:032x}" for number in range(len(pixels))], "shapes"),
            Share(BATCH),
            seed=SEED,
            flip=True,
            corruption=CorruptionMix() if config.needs_corruption else None,
        )
        stop = lambda: stop_at is not None and state.images >= stop_at  # noqa: E731
        context = TrainContext(CPU, SEED, stop, lambda values: None, 1000, step=step)
        with closing(loader.batches(state.images)) as batches:
            train(recipe.phases, state, batches, training, context)
        if folder is not None:
            with closing(CheckpointWriter(folder, "run", keep=2)) as writer:
                writer.save(state)
        return state

    return run
