"""The training loop, the only one. It runs phases and knows no model family."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import torch
from jaxtyping import Float
from torch import Tensor, nn

from components import distributed, seeding
from components.data.batch import Batch
from components.training.config import TrainingConfig
from components.training.meter import Meter, Scalars
from components.training.optimizer import set_rate
from components.training.phase import Phase, freeze_others
from components.training.state import TrainingState


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
    running = [_Running(phase) for phase in phases]
    meter = Meter(state.images, context.device)
    look_every = training.guard.look_every
    while state.images < training.images:
        if distributed.any_rank(context.should_stop()):
            return Ending.STOPPED
        with meter.waiting():
            loaded = next(batches)
        batch = loaded.to(context.device, channels_last=training.channels_last)
        seeding.seed_step(context.seed, "step", state.images, distributed.rank())
        step = state.images // training.batch
        values: Scalars = {}
        for one in running:
            if step % one.phase.every == 0:
                found = _update(one, state, batch, training)
                values |= {f"{one.phase.name}/{name}": value for name, value in found.items()}
        meter.add(values)
        before, state.images = state.images, state.images + training.batch
        for average in state.averages.values():
            average.update(state.images, training.batch)
        if state.images // look_every > before // look_every:
            state.guard.look(state.images, distributed.average_scalars(values))
        _observe(context, training, state, before, meter)
    return Ending.FINISHED


class _Running:
    """A phase, its objective replicated over ranks, and the buffers as they were before the step."""

    def __init__(self, phase: Phase) -> None:
        self.phase = phase
        freeze_others(phase)
        self.replica = distributed.replicate(phase.objective)
        self._buffers = [buffer for buffer in phase.objective.buffers() if buffer.is_floating_point()]
        self._before = [buffer.clone() for buffer in self._buffers]

    def begin(self) -> None:
        freeze_others(self.phase)
        if self._buffers:
            torch._foreach_copy_(self._before, self._buffers)

    def undo(self) -> None:
        """Put running statistics back: a pass whose activations were not finite would have spoilt them for good."""
        if self._buffers:
            torch._foreach_copy_(self._buffers, self._before)


def _update(running: _Running, state: TrainingState, batch: Batch, training: TrainingConfig) -> Scalars:
    """Take one optimizer step of a phase and return what to report; nothing of either if a number is not finite."""
    running.begin()
    phase, replica = running.phase, running.replica
    optimizer = state.optimizers[phase.name]
    set_rate(optimizer, phase.optimizer, state.images, training.images, state.guard.rate_factor)
    optimizer.zero_grad(set_to_none=True)
    totals: Scalars = {}
    autocast = torch.autocast(batch.images.device.type, torch.bfloat16, enabled=training.precision == "bf16")
    parts = _micro_batches(batch, training.accumulate)
    for index, part in enumerate(parts):
        with distributed.gradient_sync(replica, on=index == len(parts) - 1):
            with autocast:
                losses = replica(part, state.images)
            (losses["loss"] / len(parts)).backward()
        for name, value in losses.items():
            totals[name] = totals.get(name, 0.0) + value.detach() / len(parts)
    norm = _clip(phase.trained, training.clip_norm)
    # The gradient is averaged over ranks by now, so one rank's NaN is everyone's and all decide alike.
    if not state.guard.allows(phase.name, state.images, norm.item(), totals):
        running.undo()
        return {}
    optimizer.step()
    return {**totals, "gradient_norm": norm}


def _clip(parameters: Sequence[nn.Parameter], limit: float | None) -> Float[Tensor, ""]:
    """Return the norm of all their gradients together, which are scaled down to `limit` if there is one."""
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None], foreach=True)
    if limit is not None:
        nn.utils.clip_grads_with_norm_(parameters, limit, norm, foreach=True)
    return norm.detach()


def _micro_batches(batch: Batch, parts: int) -> list[Batch]:
    size = len(batch.images) // parts
    rows = [slice(start, start + size) for start in range(0, len(batch.images), size)]
    return [
        replace(
            batch,
            images=batch.images[row],
            corrupted=None if batch.corrupted is None else batch.corrupted[row],
            missing=None if batch.missing is None else batch.missing[row],
            labels=None if batch.labels is None else batch.labels[row],
            offset=batch.offset + row.start,
        )
        for row in rows
    ]


def _observe(context: TrainContext, training: TrainingConfig, state: TrainingState, before: int, meter: Meter) -> None:
    images = state.images
    finished = images >= training.images
    if finished or images // context.report_every > before // context.report_every:
        skipped = {"skipped_steps": float(state.guard.skipped)} if state.guard.skipped else {}
        context.report(meter.take(images) | skipped)
    for interval in context.intervals:
        if finished or images // interval.every > before // interval.every:
            interval.action()
