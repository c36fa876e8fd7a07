"""Meter: means of what a training reports, and what it took to come so far, over the images since the last report."""

import resource
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from components import distributed
from components.training.curve import BUSY_CORES, CARDS, DATA_WAIT, PACE, PEAK_CARD_MEMORY, PEAK_MEMORY, SECONDS
from components.training.step import Outcome

_RSS_BYTES = 1 if sys.platform == "darwin" else 1024
"""Of one unit of ru_maxrss."""


class Meter:
    """Running means kept on the device, read once per report: reading a value makes a GPU wait."""

    def __init__(self, images: int, device: torch.device) -> None:
        """Begin at `images` seen."""
        self._sums: dict[tuple[str, tuple[str, ...]], Float[Tensor, " values+1"]] = {}
        self._images = images
        self._device = device
        self._since = time.monotonic()
        self._busy_since = time.process_time()
        self._waited_s = 0.0

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Take one step's values, of the phases that were taken."""
        for one in outcomes:
            key = (one.phase, one.names)
            if key in self._sums:
                self._sums[key] += one.counted
            else:
                self._sums[key] = one.counted.clone()  # it is the next step's, too

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time of the block as time in which the step waited for data."""
        begun = time.monotonic()
        yield
        self._waited_s += time.monotonic() - begun

    def set_aside(self, seconds: float) -> None:
        """Leave out seconds that were no training, so that the pace is that of training."""
        self._since += seconds

    def take(self, images: int) -> dict[str, float]:
        """Return the means over steps and ranks since the last call, with what they took; every rank must call it."""
        now, busy = time.monotonic(), time.process_time()
        passed_s = max(now - self._since, 1e-9)
        means = {
            f"{phase}/{name}": mean
            for (phase, names), sums in self._sums.items()
            for name, mean in zip(names, (sums[:-1] / sums[-1]).unbind(), strict=True)
        }
        waited = {DATA_WAIT: self._waited_s / passed_s}
        held = {BUSY_CORES: (busy - self._busy_since) / passed_s, **self._held()}
        load = {name: torch.tensor(value, device=self._device) for name, value in (waited | held).items()}
        values = distributed.average_scalars(means | load)
        for name in held:
            values[name] *= distributed.processes()
        values[SECONDS] = passed_s
        values[PACE] = (images - self._images) / passed_s
        self._sums.clear()
        self._images, self._since, self._busy_since, self._waited_s = images, now, busy, 0.0
        return values

    def _held(self) -> dict[str, float]:
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_BYTES / 1e6
        if self._device.type != "cuda":
            return {CARDS: 0.0, PEAK_MEMORY: peak_mb}
        on_card_mb = torch.cuda.max_memory_allocated(self._device) / 1e6
        return {CARDS: 1.0, PEAK_MEMORY: peak_mb, PEAK_CARD_MEMORY: on_card_mb}
