"""Steps as they are captured for a GPU, called on a CPU: nothing that a capture would freeze may matter."""

import logging
import time

import pytest
import torch

from components.models.dcgan import DcganDiscriminatorConfig, DcganGeneratorConfig
from components.objectives.adversarial import FadeConfig, Hinge
from components.recipes.gan import GanConfig
from components.training import replay
from components.training.config import TrainingConfig
from components.training.ema import EmaConfig
from components.training.guard import Guard, GuardConfig
from components.training.loop import TrainContext, train
from components.training.optimizer import RmspropConfig
from components.training.state import TrainingState
from tests.components.training.small import RECIPES

BATCH = 8
LAZY = GanConfig(
    generator=DcganGeneratorConfig(latent=8, width=4),
    discriminator=DcganDiscriminatorConfig(width=4, normalisation="spectral"),
    loss=Hinge(r1=1.0, penalty_every=3),
    discriminator_steps=2,
)


def unequal(trained, recipe, steps: int = 10, **options) -> list[str]:
    """Return the names of tensors that differ between a training step by step and one that is replayed."""
    eager = trained(recipe, steps * BATCH, step="eager", **options).tensors()
    replayed = trained(recipe, steps * BATCH, step="graph", **options).tensors()
    assert eager.keys() == replayed.keys()
    return [name for name, tensor in eager.items() if not torch.equal(tensor, replayed[name])]


@pytest.fixture
def captures(monkeypatch) -> list[int]:
    """After how many images each capture of the test was made."""
    made = []
    capture = replay.ReplayedStep._capture

    def noted(step, images, batch):
        made.append(images)
        return capture(step, images, batch)

    monkeypatch.setattr(replay.ReplayedStep, "_capture", noted)
    return made


@pytest.mark.parametrize("name", RECIPES)
def test_a_replayed_step_is_the_eager_one_to_the_bit(name, trained):
    assert unequal(trained, RECIPES[name]) == []


@pytest.mark.parametrize("options", [{"precision": "bf16"}, {"accumulate": 2}, {"clip_norm": 0.1}])
def test_so_it_is_with_other_arithmetic_micro_batches_and_clipping(options, trained):
    assert unequal(trained, RECIPES["sngan_res"], **options) == []


def test_each_combination_of_phases_and_penalties_is_captured_once(trained, captures):
    assert unequal(trained, LAZY, steps=13) == []
    assert captures == [0, 8, 16, 24]  # critic and generator with the penalty; critic; both without it; critic with it


def test_a_penalty_that_fades_is_captured_when_it_has_come_to_rest(trained, captures):
    fading = LAZY.model_copy(update={"loss": Hinge(r1=1.0, penalty_fade=FadeConfig(images=5 * BATCH))})
    assert unequal(trained, fading) == []
    assert captures == [40, 48]


def test_a_resumed_replay_equals_one_without_interruption(trained, tmp_path):
    whole = trained(LAZY, 12 * BATCH, step="graph").tensors()
    for stop_at in (5 * BATCH, None):
        last = trained(LAZY, 12 * BATCH, tmp_path, stop_at=stop_at, step="graph")
    assert [name for name, tensor in last.tensors().items() if not torch.equal(tensor, whole[name])] == []


def test_an_optimizer_that_cannot_be_captured_is_named_and_its_steps_are_taken_all_the_same(trained, captures, caplog):
    with caplog.at_level(logging.INFO):
        assert unequal(trained, LAZY.model_copy(update={"optimizer": RmspropConfig()})) == []
    assert captures == []
    assert "steps are not captured: RMSprop has no fused kernels" in caplog.text


def test_what_cannot_be_captured_is_said_once_and_trained_all_the_same(trained, monkeypatch, caplog):
    def refuse(step, images, batch):
        raise RuntimeError("operation not permitted when stream is capturing\nand much more")

    monkeypatch.setattr(replay.ReplayedStep, "_capture", refuse)
    assert unequal(trained, LAZY) == []
    assert caplog.text.count("cannot be captured and are slower for it: operation not permitted when stream") == 1


def test_while_a_step_is_prepared_it_is_said_that_work_goes_on_and_the_time_is_no_training(game, monkeypatch):
    monkeypatch.setattr(replay, "_BEAT_S", 0.02)
    capture = replay.ReplayedStep._capture

    def slow(step, images, batch):
        time.sleep(0.3)
        return capture(step, images, batch)

    monkeypatch.setattr(replay.ReplayedStep, "_capture", slow)
    played, beats = game(), []
    phases = played.phases[:1]  # the other's optimizer cannot be captured
    context = TrainContext(
        torch.device("cpu"),
        seed=1,
        should_stop=lambda: False,
        report=lambda values: played.reports.append(values),
        report_every=10**6,
        step="graph",
        alive=lambda: beats.append(time.monotonic()),
    )
    state = TrainingState.start(played.networks, phases, [], EmaConfig(), Guard(GuardConfig()))
    begun = time.monotonic()
    train(phases, state, played.batches(), TrainingConfig(images=24, batch=8), context)
    assert len(beats) >= 3
    assert played.reports[-1]["system/seconds"] <= time.monotonic() - begun - 0.3
