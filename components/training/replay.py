"""Replay: steps that are captured once and launched as one, for a GPU waits for Python between small operations.

Captured steps keep all that Python hands over: addresses and plain numbers. So a batch is copied to fixed places,
random numbers with it, rates are tensors, and what a step takes from the number of images besides (`Step.settings`)
names the capture. Whether a step is captured follows from the number of images alone: a resumed run does the same.
"""

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from components.data.batch import Batch, Drawing
from components.training.config import StepMode, TrainingConfig
from components.training.phase import Phase
from components.training.state import TrainingState
from components.training.step import Outcome, Step

_WARM_UP = 3  # steps on a side stream, as CUDA graphs ask for: libraries choose their algorithms in them
_SOON = 64  # steps within which settings must come again to be worth a capture
_MOST = 16  # captures
_BEAT_S = 5.0
_log = logging.getLogger(__name__)


@runtime_checkable
class StepTaker(Protocol):
    """Takes the steps of a training."""

    prepared_s: float
    """Seconds spent so far on what is done once, such as compiling and capturing: they are no training."""

    def __call__(self, batch: Batch, images: int) -> list[Outcome]:
        """Take the step that begins after `images` images; what is returned holds until the next."""


def step_for(
    mode: StepMode,
    phases: Sequence[Phase],
    state: TrainingState,
    training: TrainingConfig,
    device: torch.device,
    alive: Callable[[], None] = lambda: None,
) -> StepTaker:
    """Return what takes the steps of a training, as `execution.step` asks for; `alive` is told so while it prepares."""
    if mode == "graph" or (mode == "auto" and device.type == "cuda"):
        return ReplayedStep(phases, state, training, device, alive)
    return EagerStep(phases, state, training, device)


class EagerStep:
    """Takes steps operation by operation."""

    prepared_s = 0.0

    def __init__(
        self, phases: Sequence[Phase], state: TrainingState, training: TrainingConfig, device: torch.device
    ) -> None:
        self._step = Step(phases, state, training)
        self._training = training
        self._device = device

    def __call__(self, batch: Batch, images: int) -> list[Outcome]:
        """Take the step that begins after `images` images."""
        self._step.set_rates(images)
        return self._step(batch.to(self._device, channels_last=self._training.channels_last), images)


class ReplayedStep:
    """Takes steps by replaying captured ones; what cannot be captured or is not worth it, operation by operation."""

    def __init__(
        self,
        phases: Sequence[Phase],
        state: TrainingState,
        training: TrainingConfig,
        device: torch.device,
        alive: Callable[[], None],
    ) -> None:
        self.prepared_s = 0.0
        self._alive = alive
        self._step = Step(phases, state, training, replicate=lambda objective: objective)
        self._networks = state.networks
        self._optimizers = state.optimizers
        self._training = training
        self._device = device
        self._places = Places(device, channels_last=training.channels_last)
        self._captures: dict[Hashable, Callable[[], list[Outcome]]] = {}
        self._pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None
        self._obstacle = next(filter(None, map(_obstacle, self._optimizers.values())), None)
        if self._obstacle is None:
            for optimizer in self._optimizers.values():
                _rate_as_tensor(optimizer, device)
        else:
            _log.info("steps are not captured: %s", self._obstacle)

    def __call__(self, batch: Batch, images: int) -> list[Outcome]:
        """Take the step that begins after `images` images."""
        self._step.set_rates(images)
        placed = self._places.fill(batch)
        replay = self._capture_of(images, placed) if self._obstacle is None else None
        return self._step(placed, images) if replay is None else replay()

    def _capture_of(self, images: int, batch: Batch) -> Callable[[], list[Outcome]] | None:
        settings = self._step.settings(images)
        if settings not in self._captures and self._is_worth_it(settings, images):
            begun = time.monotonic()
            try:
                with _beating(self._alive):
                    self._captures[settings] = self._capture(images, batch)
            except RuntimeError as error:  # PyTorch's word for what cannot be captured
                self._obstacle = str(error).partition("\n")[0]
                _log.warning("steps cannot be captured and are slower for it: %s", self._obstacle)
            self.prepared_s += time.monotonic() - begun
            _log.info("a step prepared after %s images, %.1f s in all so far", f"{images:,}", self.prepared_s)
        return self._captures.get(settings)

    def _is_worth_it(self, settings: Hashable, images: int) -> bool:
        """Return whether the same settings come again soon; a penalty that fades has new ones in each step."""
        soon = range(images + self._training.batch, images + _SOON * self._training.batch, self._training.batch)
        return len(self._captures) < _MOST and any(self._step.settings(later) == settings for later in soon)

    def _capture(self, images: int, batch: Batch) -> Callable[[], list[Outcome]]:
        if self._device.type != "cuda":
            with self._undisturbed():
                self._step(batch, images)
            return lambda: self._step(self._places.batch, images)
        with self._undisturbed():
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(_WARM_UP):
                    self._step(batch, images)
            torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):  # others may load meanwhile
            outcomes = self._step(batch, images)

        def replay() -> list[Outcome]:
            graph.replay()
            return outcomes

        return replay

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Put back what steps in the block move: weights, statistics, moments and random streams."""
        before = {name: tensor.clone() for name, tensor in self._moved().items()}
        with torch.random.fork_rng(devices=[self._device] if self._device.type == "cuda" else []):
            yield
        with torch.no_grad():
            for name, tensor in self._moved().items():
                if name in before:
                    tensor.copy_(before[name])
                else:
                    tensor.zero_()  # moments, which begin so

    def _moved(self) -> dict[Hashable, Shaped[Tensor, "..."]]:
        moved: dict[Hashable, Tensor] = dict(self._networks.named_parameters()) | dict(self._networks.named_buffers())
        for phase, optimizer in self._optimizers.items():
            for index, parameter in enumerate(_parameters(optimizer)):
                for key, value in optimizer.state.get(parameter, {}).items():
                    moved[phase, index, key] = value
        return moved


class Places:
    """A batch at fixed places of memory, and the random numbers that a step draws, which are drawn before it."""

    def __init__(self, device: torch.device, *, channels_last: bool) -> None:
        self._device = device
        self._channels_last = channels_last
        self._numbers: dict[tuple[Drawing, int, int], Float[Tensor, "batch ..."]] = {}
        self.batch: Batch
        """What was filled in last."""

    def fill(self, batch: Batch) -> Batch:
        """Copy a batch to its place and draw its numbers anew; return it there."""
        if not hasattr(self, "batch"):
            self.batch = batch.to(self._device, channels_last=self._channels_last)
        placed: dict[str, Any] = {}
        for field in fields(Batch):
            place, value = getattr(self.batch, field.name), getattr(batch, field.name)
            placed[field.name] = self._copied(value, place) if isinstance(value, Tensor) else value
        self.batch = replace(self.batch, **{**placed, "numbers": self._number})
        for (drawing, offset, rows), place in self._numbers.items():
            self._copied(batch.drawn(drawing)[offset : offset + rows], place)
        return self.batch

    def _copied(self, value: Shaped[Tensor, "*shape"], place: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
        """Return `place` with `value` on its way there; from pinned memory, or the host would wait for the copy."""
        pinned = value.pin_memory() if place.is_cuda and not value.is_cuda else value
        return place.copy_(pinned, non_blocking=True)

    def _number(self, drawing: Drawing, batch: Batch) -> Float[Tensor, "batch ..."]:
        """Return the place of numbers; those that are asked for the first time are drawn at once."""
        key = (drawing, batch.offset, len(batch))
        if key not in self._numbers:
            self._numbers[key] = batch.drawn(drawing)[batch.offset : batch.offset + len(batch)].to(self._device)
        return self._numbers[key]


@contextmanager
def _beating(alive: Callable[[], None]) -> Iterator[None]:
    """Say every few seconds that work goes on: compiling takes longer than a step may."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(_BEAT_S):
            alive()

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _obstacle(optimizer: torch.optim.Optimizer) -> str | None:
    """Return why steps of an optimizer cannot be captured; None if they can."""
    return None if optimizer.defaults.get("fused") else f"{type(optimizer).__name__} has no fused kernels"


def _rate_as_tensor(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Let a captured step read the rate: a plain number would be that of the capture for ever."""
    precise = torch.float32 if device.type == "cuda" else torch.float64  # what the fused kernels read
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(float(group["lr"]), dtype=precise, device=device)
        group["capturable"] = device.type == "cuda"


def _parameters(optimizer: torch.optim.Optimizer) -> Iterator[nn.Parameter]:
    for group in optimizer.param_groups:
        yield from group["params"]
