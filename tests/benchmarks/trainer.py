"""All that happens around a recipe while it trains: loader, loop, logging, average of the weights, checkpoints."""

from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import torch
from numpy.typing import NDArray

from components import distributed
from components.corruption import CorruptionMix
from components.data import Loader, Samples, Share
from components.recipes.recipe import PRODUCER, Recipe
from components.training.checkpoint import CheckpointWriter
from components.training.config import TrainingConfig
from components.training.curve import Curve
from components.training.guard import Guard
from components.training.loop import Interval, TrainContext, train
from components.training.state import TrainingState

SEED = 1


def loader(
    images: NDArray[np.uint8], batch: int, *, flip: bool = False, corruption: CorruptionMix | None = None
) -> Loader:
    """Return this process's loader of images in memory."""
    return Loader(
        Samples(images, [f"{number:032x}" for number in range(len(images))], "benchmark"),
        Share(batch, distributed.rank(), distributed.processes()),
        seed=SEED,
        flip=flip,
        corruption=corruption,
    )


class Trainer:
    """Ours, as `components.worker` puts it together."""

    def __init__(self, recipe: Recipe, batches: Loader, training: TrainingConfig, folder: Path) -> None:
        self.recipe, self.loader, self.training = recipe, batches, training
        self.folder = Path(mkdtemp(dir=folder))
        if training.channels_last:
            recipe.networks.to(memory_format=torch.channels_last)
        guard = Guard(training.guard)
        self.state = TrainingState.start(recipe.networks, recipe.phases, [PRODUCER], training.ema, guard)

    def run(self, images: int, report_every: int = 2_000) -> list[dict[str, float]]:
        """Train on so many more images, write one checkpoint at their end, and return what was reported."""
        reported: list[dict[str, float]] = []
        curve = Curve(self.folder / "curve.jsonl", self.state.images)
        checkpoints = CheckpointWriter(self.folder / "checkpoints", "benchmark", keep=1)

        def report(values: dict[str, float]) -> None:
            reported.append(values)
            curve.add(values, self.state.images)

        around = TrainContext(
            device=torch.device("cpu"),
            seed=SEED,
            should_stop=lambda: False,
            report=report,
            report_every=report_every,
            intervals=[Interval(20_000, lambda: checkpoints.save(self.state))] if distributed.is_main() else [],
        )
        length = self.training.model_copy(update={"images": self.state.images + images})
        batches = self.loader.batches(self.state.images)
        train(self.recipe.phases, self.state, batches, length, around)
        batches.close()
        checkpoints.close()
        return reported
