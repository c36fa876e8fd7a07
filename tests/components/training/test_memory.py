"""Memory: what is found out without computing is what the allocator hands out, at most, when it is computed."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from components.data import Batch
from components.training.memory import held_bytes, step_bytes
from components.training.optimizer import AdamConfig
from components.training.phase import Phase, freeze_others
from tests.examples import RECIPES, beyond

pytestmark = pytest.mark.slow
SIZE, ROWS = 16, 32


def batch(device):
    with torch.device(device):
        images, missing = torch.rand(ROWS, 3, SIZE, SIZE), torch.zeros(ROWS, 1, SIZE, SIZE)
    labels = torch.zeros(ROWS, dtype=torch.long, device=device)
    return Batch(images, images.clone(), missing, 1, 0, 0, ROWS, labels)


def measured(phases):
    """Return the most that lives at once in steps that are computed, without the weights, which lived before."""
    shown = batch("cpu")
    # oneDNN takes scratch memory for some convolutions on some processors, which is not the step's.
    with (
        torch.backends.mkldnn.flags(enabled=False),
        profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found,
    ):
        for phase in phases:
            freeze_others(phase)
            phase.objective(shown, 0)["loss"].backward()
            for parameter in phase.trained:
                parameter.grad = None
    now = most = 0
    for event in found.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            most = max(most, now)
    return most


@pytest.mark.parametrize("name", beyond([]))
def test_a_step_is_found_to_take_what_it_takes(name):
    recipe = RECIPES[name]
    computed = recipe.build(SIZE, 1)
    weights = sum(value.nbytes for value in computed.networks.parameters())
    with torch.device("meta"):
        found = step_bytes(recipe.build(SIZE, 1).phases, batch("meta"))
    assert found == pytest.approx(measured(computed.phases) + weights, rel=0.3)


def test_what_stays_is_two_moments_of_each_trained_number_and_two_averages_of_the_producer():
    with torch.device("meta"):
        network = torch.nn.Linear(3, 5)
    phase = Phase("one", trains=network, objective=network, optimizer=AdamConfig())
    assert held_bytes([phase], network) == 4 * (15 + 5) * 4
