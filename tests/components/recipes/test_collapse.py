"""A network that has stopped to correct its first guess is named, and its training stopped."""

import numpy as np
import pytest
import torch
from torch import nn

from components.corruption import CorruptionMix
from components.data import Batch
from components.models.unet import UnetConfig
from components.recipes.inpainter import InpainterConfig
from components.training.guard import DivergedError, Guard, GuardConfig

CONFIG = InpainterConfig(network=UnetConfig(widths=(4, 8), blocks=(1, 1)))


@pytest.fixture
def batch(shapes) -> Batch:
    keys = [f"{number:032x}" for number in range(len(shapes))]
    corrupted, missing = CorruptionMix(area=(0.1, 0.3)).corrupt_batch(shapes, keys, [0] * len(shapes), seed=5)
    images, damaged = (torch.from_numpy(one).permute(0, 3, 1, 2).float() / 127.5 - 1 for one in (shapes, corrupted))
    holes = torch.from_numpy(missing.astype(np.float32))[:, None]
    return Batch(images, damaged, holes, seed=1, first_image=0, offset=0, global_size=len(images))


def looked(guard: Guard, batch: Batch, *, dead: bool) -> float:
    """Let the guard look at a step of a network all of whose last features are below 0, if it is dead."""
    (phase,) = CONFIG.build(16, 1).phases
    with torch.no_grad():
        nn.init.normal_(phase.trains.last.weight, std=0.1)
        phase.trains.last.bias.fill_(0.01)
        if dead:
            phase.trains.ascents[-1][-1].second.bias.fill_(-100)
    values = {name: float(value.detach()) for name, value in phase.objective(batch, 0).items()}
    guard.look(16, {f"inpainter/{name}": value for name, value in values.items()})
    return values["correction"]


def test_a_correction_that_is_the_same_everywhere_stops_the_training_in_words(batch):
    guard = Guard(GuardConfig(patience=2))
    assert looked(guard, batch, dead=False) > 1e-3
    assert looked(guard, batch, dead=True) < 1e-6
    with pytest.raises(DivergedError, match=r"inpainter/correction varies by .* no better than its first guess"):
        looked(guard, batch, dead=True)


def test_a_network_that_corrects_is_left_alone(batch):
    guard = Guard(GuardConfig(patience=1))
    looked(guard, batch, dead=False)
    assert guard.is_calm
