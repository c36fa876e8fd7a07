"""Guard: names, bounds and ends what must not go on: numbers that are not finite, explosions, a lost balance."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from statistics import median
from typing import Any

from pydantic import Field

from components.section import Section

_REMEMBERED = 32  # looks that the running median is taken over
_ENOUGH = 8  # looks before there is a median to compare with
_STILL = 1e-6  # of a network that still learns it is a thousand times more, of one that does not it is 0
CORRECTION = "correction"
"""Name of a value that says how much what a network adds to its first guess varies from pixel to pixel."""
_log = logging.getLogger(__name__)


class GuardConfig(Section):
    """When a step is left out, when a run goes back, and when it is stopped for its own good."""

    skips: int = Field(default=10, ge=0)
    """Steps with a non-finite loss or gradient that are left out before the run counts as diverged."""
    look_every: int = Field(default=1_000, gt=0)
    """Images between looks at losses, gradients and the discriminator; a look reads the numbers of one step."""
    explosion: float | None = Field(default=1_000.0, gt=1)
    """A loss or gradient norm this many times above its running median, and above this number itself, has exploded;
    None does not look."""
    gap: float | None = Field(default=1_000.0, gt=0)
    """Distance between a discriminator's mean logits of real and made pictures at which it has won; None does not
    look."""
    patience: int = Field(default=3, ge=1)
    """Looks in a row that must find the same before the run counts as diverged."""
    rollbacks: int = Field(default=2, ge=0)
    """Times that a diverged run goes back to its last good checkpoint, at a lower rate, before it stops."""
    rollback_rate: float = Field(default=0.5, gt=0, lt=1)
    """Factor on all learning rates for each time the run went back."""


class DivergedError(FloatingPointError):
    """Training diverged; the message names phase, quantity and images seen. All ranks raise it at the same step."""

    def __init__(self, message: str, rollbacks: int) -> None:
        super().__init__(message)
        self.rollbacks = rollbacks
        """Times the run had gone back before."""


class Guard:
    """Counts what is wrong. It sees numbers that all ranks share, so every rank decides alike."""

    def __init__(self, config: GuardConfig) -> None:
        self.config = config
        self.skipped = 0
        """Steps left out so far."""
        self.rollbacks = 0
        """Times the run went back so far."""
        self._history: dict[str, list[float]] = {}
        self._in_a_row: dict[str, int] = {}

    @property
    def rate_factor(self) -> float:
        """Return the factor on all learning rates; 1 until the run has gone back."""
        return self.config.rollback_rate**self.rollbacks

    @property
    def is_calm(self) -> bool:
        """Return whether the last looks found nothing wrong, so that a checkpoint of now is worth going back to."""
        return not any(self._in_a_row.values())

    def facts(self) -> dict[str, Any]:
        """Return all that it remembers, as JSON values."""
        return {
            "skipped": self.skipped,
            "rollbacks": self.rollbacks,
            "history": {name: list(values) for name, values in self._history.items()},
            "in_a_row": dict(self._in_a_row),
        }

    def restore(self, facts: Mapping[str, Any]) -> None:
        """Take over what `facts` returned."""
        self.skipped, self.rollbacks = facts["skipped"], facts["rollbacks"]
        self._history = {name: list(values) for name, values in facts["history"].items()}
        self._in_a_row = dict(facts["in_a_row"])

    def left_out(self, phase: str, images: int, steps: int, values: Mapping[str, float]) -> None:
        """Take note of steps of a phase that were left out because their gradients were not finite.

        Args:
            phase: Its name.
            images: Images seen before the step that was looked at last.
            steps: How many they were.
            values: Gradient norm, loss and what else this rank's last of them would have reported.

        Raises:
            DivergedError: More steps were left out than the configuration allows.
        """
        self.skipped += steps
        bad = ", ".join(
            f"{phase}/{name} is {value}" for name, value in sorted(values.items()) if not math.isfinite(value)
        )
        _log.warning("%s after %s images: step %s left out", bad, f"{images:,}", self.skipped)
        if self.skipped > self.config.skips:
            self._give_up(
                f"{bad} after {images:,} images; {self.skipped} steps were not finite, training.guard.skips allows "
                f"{self.config.skips}. Lower the learning rate of phase '{phase}' or set training.clip_norm."
            )

    def look(self, images: int, values: Mapping[str, float]) -> None:
        """Compare one step's values, "phase/name", averaged over ranks, with what they were before.

        Raises:
            DivergedError: A loss or gradient exploded, a network added nothing to its first guess, or a discriminator
                won, `patience` looks in a row.
        """
        for name, value in values.items():
            if name.endswith(("/loss", "/gradient_norm")):
                self._compare(name, abs(value), images)
            if name.endswith(f"/{CORRECTION}"):
                phase = name.removesuffix(f"/{CORRECTION}")
                words = (
                    f"{name} varies by {value:.1e} from pixel to pixel: the network mends no better than its first "
                    f"guess and learns no more; lower the learning rate of phase '{phase}'"
                )
                self.suspect(name, images, words, found=value < _STILL)
        if self.config.gap is None:
            return
        for name, real in values.items():
            if name.endswith("/real_logit"):
                phase = name.removesuffix("/real_logit")
                gap = abs(real - values[f"{phase}/fake_logit"])
                words = f"{phase} tells real from made by {gap:.4g}, training.guard.gap allows {self.config.gap:g}"
                self.suspect(f"{phase}/gap", images, words, found=gap > self.config.gap)

    def suspect(self, name: str, images: int, words: str, *, found: bool) -> None:
        """Take note of what one look at `name` found.

        Raises:
            DivergedError: It was found `patience` times in a row; `words` say what.
        """
        self._in_a_row[name] = self._in_a_row.get(name, 0) + 1 if found else 0
        if not found:
            return
        _log.warning("%s after %s images", words, f"{images:,}")
        if self._in_a_row[name] >= self.config.patience:
            self._give_up(f"{words}, after {images:,} images and {self._in_a_row[name]} looks in a row.")

    def _compare(self, name: str, size: float, images: int) -> None:
        if self.config.explosion is None or not math.isfinite(size):
            return
        history = self._history.setdefault(name, [])
        usual = median(history) if len(history) >= _ENOUGH else math.inf
        exploded = size > self.config.explosion * max(usual, 1.0)
        if not exploded:
            history.append(size)
            del history[:-_REMEMBERED]
        self.suspect(name, images, f"{name} is {size:.4g}, usual is {usual:.4g}: it exploded", found=exploded)

    def _give_up(self, message: str) -> None:
        went_back = f" The run had gone back {self.rollbacks} times before." if self.rollbacks else ""
        raise DivergedError(message + went_back, self.rollbacks)
