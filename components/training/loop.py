"""The training loop, the only one. It runs phases and knows no model family."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import torch

from components import distributed, seeding
from components.data.batch import Batch
from components.training.config import StepMode, TrainingConfig
from components.training.meter import Meter
from components.training.phase import Phase
from components.training.replay import step_for
from components.training.state import TrainingState
from components.training.step import Omissions, Outcome


class Ending(Enum):
    """Why the loop returned."""

    FINISHED = "finished"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Interval:
    """Something to do whenever another `every` images have been seen, and at the end."""

    every: int
    action: Callable[[], None]


@dataclass(frozen=True)
class TrainContext:
    """What the loop is told from outside: where it runs, when to stop, what to do at intervals."""

    device: torch.device
    seed: int
    should_stop: Callable[[], bool]
    report: Callable[[dict[str, float]], None]
    """Receives values averaged over ranks and over the images since the last report."""
    report_every: int
    intervals: Sequence[Interval] = ()
    step: StepMode = "auto"
    """How steps are taken: `execution.step`."""
    alive: Callable[[], None] = lambda: None
    """Told every few seconds while a step takes long because it is prepared."""


def train(
    phases: Sequence[Phase],
    state: TrainingState,
    batches: Iterator[Batch],
    training: TrainingConfig,
    context: TrainContext,
) -> Ending:
    """Train until `training.images` images were seen or a stop is asked for; `state` is moved along.

    Raises:
        DivergedError: Losses or gradients were not finite, or were much too large, more often than `training.guard`
            allows.
    """
    meter, omissions = Meter(state.images, context.device), Omissions()
    step = step_for(context.step, phases, state, training, context.device, context.alive)
    while state.images < training.images:
        if distributed.any_rank(context.should_stop()):
            return Ending.STOPPED
        with meter.waiting():
            loaded = next(batches)
        seeding.seed_step(context.seed, "step", state.images, distributed.rank())
        prepared_s = step.prepared_s
        outcomes = step(loaded, state.images)
        meter.set_aside(step.prepared_s - prepared_s)
        omissions.note(outcomes)
        meter.add(outcomes)
        due = _Due(context, training, state.images)
        if due.look or due.observation or context.device.type == "cpu":  # elsewhere, to ask is to wait
            for phase, (steps, causes) in omissions.take().items():
                state.guard.left_out(phase, state.images, steps, causes)
        state.images += training.batch
        for average in state.averages.values():
            average.update(state.images, training.batch)
        if due.look:
            state.guard.look(state.images, _averages_of(outcomes))
        _observe(context, state, due, meter)
    return Ending.FINISHED


class _Due:
    """What is due after the step that begins after `images` images."""

    def __init__(self, context: TrainContext, training: TrainingConfig, images: int) -> None:
        self._before, self._after = images, images + training.batch
        self.end = self._after >= training.images
        self.look = self._passes(training.guard.look_every)
        self.report = self.end or self._passes(context.report_every)
        self.intervals = [interval for interval in context.intervals if self.end or self._passes(interval.every)]
        self.observation = self.report or bool(self.intervals)

    def _passes(self, every: int) -> bool:
        return self._after // every > self._before // every


def _averages_of(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Return the values of the steps that were taken, "phase/name", averaged over ranks."""
    values = {name: value for one in outcomes for name, value in one.by_name().items()}
    taken = {one.phase: one.taken for one in outcomes}
    found = distributed.average_scalars({**values, **taken})
    return {name: value for name, value in found.items() if name not in taken and found[name.split("/")[0]]}


def _observe(context: TrainContext, state: TrainingState, due: _Due, meter: Meter) -> None:
    if due.report:
        skipped = {"skipped_steps": float(state.guard.skipped)} if state.guard.skipped else {}
        context.report(meter.take(state.images) | skipped)
    for interval in due.intervals:
        interval.action()
