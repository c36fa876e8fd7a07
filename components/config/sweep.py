"""Sweep: which values of one model's configuration are tried, how long each, and what that may cost."""

import math
from collections.abc import Iterator
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from components.section import Section

_DIGITS = 4
_RANKED_BY = "training.validation"
_LENGTH = "training.images"


class Choice(Section):
    """Values to choose from: those of a list, or all between two ends."""

    values: tuple[Any, ...] | None = Field(default=None, min_length=1)
    """The values; `[32, 64]` is short for `{values: [32, 64]}`. Whole sections may stand here, too."""
    low: float | None = None
    """Lower end of a range of numbers."""
    high: float | None = None
    """Its upper end."""
    log: bool = False
    """Spread numbers evenly by their logarithms, as suits rates: as many from 0.0001 to 0.001 as from 0.001 to 0.01."""
    whole: bool = False
    """Whole numbers only."""

    @model_validator(mode="before")
    @classmethod
    def _list_is_short(cls, content: Any) -> Any:  # noqa: ANN401 - any YAML value
        if isinstance(content, list | tuple):
            return {"values": content}
        if isinstance(content, dict | Choice):
            return content
        raise ValueError("expected a list of values, or a range such as {low: 1e-4, high: 1e-2}")

    @model_validator(mode="after")
    def _is_list_or_range(self) -> Self:
        if self.values is not None:
            if (self.low, self.high, self.log, self.whole) != (None, None, False, False):
                raise ValueError("expected either values or a range from low to high, found both")
            return self
        if self.low is None or self.high is None or not self.low < self.high:
            raise ValueError(f"expected low below high, found low {self.low} and high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs a range above 0, found low {self.low:g}")
        return self

    @property
    def ends(self) -> tuple[Any, ...]:
        """All values of a list, the ends of a range: what can be refused before anything starts."""
        return self.values if self.values is not None else (self.at(0.0), self.at(1.0))

    def at(self, share: float) -> Any:  # noqa: ANN401 - any value of a configuration
        """Return the value that lies at a share in [0, 1] of the way; numbers of a range have four digits."""
        if self.values is not None:
            return self.values[min(int(share * len(self.values)), len(self.values) - 1)]
        low, high = float(self.low or 0), float(self.high or 0)
        number = low * (high / low) ** share if self.log else low + share * (high - low)
        return round(number) if self.whole else float(f"{number:.{_DIGITS}g}")


class SweepConfig(Section):
    """A search over values of one model's configuration, carried out by `kintsugi sweep`; a night does without it."""

    model: str
    """Name of the model."""
    over: dict[str, Choice] = Field(min_length=1)
    """Values to try, by path below the model, such as `recipe.optimizer.rate: {low: 1e-4, high: 2e-3, log: true}` or
    `training.batch: [32, 64]`."""
    trials: int | None = Field(default=None, ge=2)
    """Configurations to try, the one without the sweep among them; fewer where values repeat. None: all combinations
    of lists. Where `over` has ranges, it must be given. More trials keep those of fewer."""
    rungs: int = Field(default=3, ge=1, le=10)
    """Numbers of images seen at which trials are compared; at the last they are trained to the end."""
    reduction: int = Field(default=3, ge=2, le=16)
    """One of so many goes on from a rung to the next, which lies at so many times the images: successive halving,
    Jamieson and Talwalkar 2016, https://arxiv.org/abs/1502.07943. With 3 rungs the first is at a ninth of
    `training.images`."""
    hours: float | None = Field(default=None, gt=0)
    """Hours by the clock that all trainings may take together. A sweep that has spent them stops, and the same command
    with more goes on. None: no limit."""
    seeds: int = Field(default=0, ge=0, le=32)
    """Seeds that had no part in the choice, with which the best and the configuration without the sweep are trained
    and judged at the end."""
    keep: bool = False
    """Keep what the trials that were not finished have left in KINTSUGI_HOME/training; else it is removed at the end,
    but for the configuration without the sweep."""

    @field_validator("over")
    @classmethod
    def _changes_what_is_ranked(cls, over: dict[str, Choice]) -> dict[str, Choice]:
        for path in over:
            top, _, rest = path.partition(".")
            if top not in {"recipe", "training"} or not rest:
                raise ValueError(f"{path}: expected a path below recipe or training, which alone change what is learnt")
            if path == _LENGTH:
                raise ValueError(f"{path}: trials are compared at equal numbers of images; sweep over something else")
            if path == _RANKED_BY or path.startswith(f"{_RANKED_BY}."):
                raise ValueError(f"{path}: trials are ranked by its score, which must be the same for all")
        return over

    @model_validator(mode="after")
    def _ranges_have_a_number_of_trials(self) -> Self:
        if self.trials is None and (ranges := [path for path, one in self.over.items() if one.values is None]):
            raise ValueError(f"over has the range {ranges[0]}, so the number of `trials` must be given")
        return self

    @property
    def grid_size(self) -> int | None:
        """Combinations of the lists; None where there are ranges."""
        counts = [None if choice.values is None else len(choice.values) for choice in self.over.values()]
        return None if None in counts else math.prod(count for count in counts if count is not None)

    def places(self, images: int) -> tuple[int, ...]:
        """Return the images seen at each rung of a training of so many images."""
        return tuple(self._places(images))

    def _places(self, images: int) -> Iterator[int]:
        for rung in range(self.rungs):
            yield images // self.reduction ** (self.rungs - 1 - rung)
