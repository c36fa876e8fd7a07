"""Guard: names and bounds the steps that must not be taken, because a loss or a gradient is not finite."""

import logging
import math
from collections.abc import Mapping

from pydantic import Field
from torch import Tensor

from components.section import Section

_log = logging.getLogger(__name__)


class GuardConfig(Section):
    """When a run is stopped for its own good."""

    skips: int = Field(default=10, ge=0)
    """Steps with a non-finite loss or gradient that are left out before the run stops with the reason."""


class DivergedError(FloatingPointError):
    """Training left the finite numbers more often than allowed; the message names phase, quantity and images seen."""


class Guard:
    """Counts skipped steps. Gradients are already averaged over ranks, so every rank decides alike."""

    def __init__(self, config: GuardConfig, skipped: int = 0) -> None:
        self.config = config
        self.skipped = skipped

    def allows(self, phase: str, images: int, gradient_norm: float, values: Mapping[str, Tensor]) -> bool:
        """Return whether the step may be taken: whether its gradient is finite.

        Args:
            phase: Name of the phase.
            images: Images seen before this step.
            gradient_norm: Of the gradient that is averaged over ranks. It alone decides.
            values: This rank's loss and what else the phase reports; named if they are the cause, else not read.

        Raises:
            DivergedError: More steps were skipped than the configuration allows.
        """
        if math.isfinite(gradient_norm):
            return True
        self.skipped += 1
        named = {"gradient_norm": gradient_norm} | {name: value.item() for name, value in values.items()}
        bad = ", ".join(f"{phase}/{name} is {value}" for name, value in named.items() if not math.isfinite(value))
        _log.warning("%s after %s images: step %s left out", bad, f"{images:,}", self.skipped)
        if self.skipped > self.config.skips:
            raise DivergedError(
                f"{bad} after {images:,} images; {self.skipped} steps were not finite, training.guard.skips allows "
                f"{self.config.skips}. Lower the learning rate of phase '{phase}' or set training.clip_norm."
            )
        return False
