"""Guard: names and bounds the steps that must not be taken, because a loss or a gradient is not finite."""

import math

from pydantic import Field

from components.section import Section


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

    def allows(self, phase: str, images: int, values: dict[str, float]) -> bool:
        """Return whether the step may be taken.

        Raises:
            DivergedError: More steps were skipped than the configuration allows.
        """
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if not bad:
            return True
        self.skipped += 1
        if self.skipped > self.config.skips:
            raise DivergedError(
                f"{phase}/{bad[0]} is {values[bad[0]]} after {images:,} images; {self.skipped} steps were not finite, "
                f"guard.skips allows {self.config.skips}. Lower the learning rate or set training.clip_norm."
            )
        return False
