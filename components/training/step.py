"""Step: the phases of one iteration, each a forward, a backward and an optimizer's step; nothing waits for a GPU."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from components import distributed
from components.data.batch import Batch
from components.training.arithmetic import uses_bf16
from components.training.config import TrainingConfig
from components.training.optimizer import set_rate, step_where
from components.training.phase import Phase, freeze_others
from components.training.state import TrainingState


@dataclass(frozen=True)
class Outcome:
    """What became of one phase. All of it stays where the networks are."""

    phase: str
    names: tuple[str, ...]
    """Of what it reports."""
    values: Float[Tensor, " values"]
    """What it reports; of a step that was left out, what it would have reported."""
    taken: Bool[Tensor, ""]
    """Whether the step was taken: whether its gradient was finite. If not, it left no trace."""
    counted: Float[Tensor, " values+1"]
    """To be added up: values and a 1 of a step that was taken, zeros of one that was left out."""

    @classmethod
    def of(cls, phase: str, reported: Mapping[str, Float[Tensor, ""]], taken: Bool[Tensor, ""]) -> Self:
        """Return what became of a phase that reports these values.

        All of it is computed here, where a GPU captures it with the step: each launch beside a captured step costs a
        small network a hundredth of its pace.
        """
        values = torch.stack([value.float() for value in reported.values()])
        counted = torch.where(taken, torch.cat([values, values.new_ones(1)]), 0.0)
        return cls(phase, tuple(reported), values, taken, counted)

    def by_name(self) -> dict[str, Float[Tensor, ""]]:
        """Return the values as `phase/name`."""
        return {f"{self.phase}/{name}": value for name, value in zip(self.names, self.values.unbind(), strict=True)}


class Step:
    """All phases of an iteration, in order, over the networks and optimizers of a state."""

    def __init__(
        self,
        phases: Sequence[Phase],
        state: TrainingState,
        training: TrainingConfig,
        *,
        replicate: Callable[[nn.Module], nn.Module] = distributed.replicate,
    ) -> None:
        """Prepare the phases.

        Args:
            phases: In the order they are run in.
            state: What they move along.
            training: Batch, precision and clipping.
            replicate: Lets backward passes average gradients over processes. One that leaves modules as they are has
                them averaged after the backward pass, in one piece and in the order of the parameters.
        """
        self._state = state
        self._training = training
        self._running = [_Running(phase, replicate) for phase in phases]

    def settings(self, images: int) -> Hashable:
        """Return all but the learning rates that the step takes from the number of images as plain numbers."""
        return tuple(
            (
                one.phase.name,
                one.phase.settings(images, self._training.batch),
                one.phase.optimizer.constants(images, self._training.images),
            )
            for one in self._due(images)
        )

    def set_rates(self, images: int) -> None:
        """Set what the schedules of the optimizers ask for after `images` images."""
        for one in self._due(images):
            optimizer, factor = self._state.optimizers[one.phase.name], self._state.guard.rate_factor
            set_rate(optimizer, one.phase.optimizer, images, self._training.images, factor)

    def __call__(self, batch: Batch, images: int) -> list[Outcome]:
        """Take the step on this rank's rows of a batch, the first of which is image `images`."""
        return [self._update(one, batch, images) for one in self._due(images)]

    def _due(self, images: int) -> list["_Running"]:
        number = images // self._training.batch
        return [one for one in self._running if number % one.phase.every == 0]

    def _update(self, running: "_Running", batch: Batch, images: int) -> Outcome:
        running.begin()
        phase, replica = running.phase, running.replica
        optimizer = self._state.optimizers[phase.name]
        optimizer.zero_grad(set_to_none=True)
        totals: dict[str, Float[Tensor, ""]] = {}
        parts = micro_batches(batch, self._training.accumulate)
        for index, part in enumerate(parts):
            with distributed.gradient_sync(replica, on=index == len(parts) - 1):
                with self._autocast(batch.images.device):
                    losses = replica(part, images)
                (losses["loss"] / len(parts)).backward()
            for name, value in losses.items():
                totals[name] = totals.get(name, 0.0) + value.detach() / len(parts)
        if replica is phase.objective:
            distributed.average_gradients(phase.trained)
        norm = _clip(phase.trained, self._training.clip_norm)
        # The gradient is averaged over ranks by now, so one rank's NaN is everyone's and all decide alike.
        taken = torch.isfinite(norm)
        running.undo_unless(taken)
        step_where(taken, optimizer)
        return Outcome.of(phase.name, {**totals, "gradient_norm": norm}, taken)

    def _autocast(self, device: torch.device) -> torch.autocast:
        """Return the arithmetic. Casts of weights are not kept: kept ones would be those of the step of a capture."""
        on = uses_bf16(self._training.precision, device)
        return torch.autocast(device.type, torch.bfloat16, enabled=on, cache_enabled=device.type == "cpu")


class _Running:
    """A phase, its objective as it is run, and the buffers as they were before the step."""

    def __init__(self, phase: Phase, replicate: Callable[[nn.Module], nn.Module]) -> None:
        self.phase = phase
        freeze_others(phase)  # first: replicas average gradients of what requires some now
        self.replica = replicate(phase.objective)
        self._buffers = [buffer for buffer in phase.objective.buffers() if buffer.is_floating_point()]
        self._before = [buffer.clone() for buffer in self._buffers]

    def begin(self) -> None:
        freeze_others(self.phase)
        if self._buffers:
            torch._foreach_copy_(self._before, self._buffers)

    def undo_unless(self, taken: Bool[Tensor, ""]) -> None:
        """Put running statistics back: a pass whose activations were not finite would have spoilt them for good."""
        for buffer, before in zip(self._buffers, self._before, strict=True):
            torch.where(taken, buffer, before, out=buffer)


class Omissions:
    """Steps that were left out, counted where the networks are, as reading makes a GPU wait."""

    def __init__(self) -> None:
        self._steps: dict[str, int] = {}
        self._taken: dict[str, Float[Tensor, ""]] = {}
        self._names: dict[str, tuple[str, ...]] = {}
        self._causes: dict[str, Float[Tensor, " values"]] = {}

    def note(self, outcomes: Sequence[Outcome]) -> None:
        """Count those of `outcomes` that were not taken, and keep the values of the last of each phase."""
        for one in outcomes:
            if one.phase not in self._steps:
                self._names[one.phase] = one.names
                self._steps[one.phase] = 0
                self._taken[one.phase] = torch.zeros((), device=one.values.device)
                self._causes[one.phase] = torch.zeros_like(one.values)
            self._steps[one.phase] += 1
            self._taken[one.phase] += one.counted[-1]
            torch.where(one.taken, self._causes[one.phase], one.values, out=self._causes[one.phase])

    def take(self) -> dict[str, tuple[int, Mapping[str, float]]]:
        """Return the number since the last call, and the last values, of each phase that left any out."""
        if not self._steps:
            return {}
        taken = dict(zip(self._taken, torch.stack(list(self._taken.values())).tolist(), strict=True))
        found: dict[str, tuple[int, Mapping[str, float]]] = {}
        for phase, steps in self._steps.items():
            if steps > taken[phase]:
                causes = dict(zip(self._names[phase], self._causes[phase].tolist(), strict=True))
                found[phase] = (steps - int(taken[phase]), causes)
            self._steps[phase] = 0
            self._taken[phase].zero_()
        return found


def _clip(parameters: Sequence[nn.Parameter], limit: float | None) -> Float[Tensor, ""]:
    """Return the norm of all their gradients together, which are scaled down to `limit` if there is one."""
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None], foreach=True)
    if limit is not None:
        nn.utils.clip_grads_with_norm_(parameters, limit, norm, foreach=True)
    return norm.detach()


def micro_batches(batch: Batch, parts: int) -> list[Batch]:
    """Return the batch cut into `parts` equal ones."""
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
