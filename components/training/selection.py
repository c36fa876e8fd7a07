"""Selection: which average of the weights leaves training, the last one or the best one by a score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from components.deferred.torch import Tensor
from components.section import Section


class ValidationConfig(Section):
    """A cheap score of the averaged network on the validation split, while training.

    The score depends on what the network does: error of mended pixels where it mends, error of
    reconstruction where it codes, kernel distance of features where it only makes pictures. Lower is better.
    """

    every: int = Field(default=20_000, gt=0)
    """Images between two scores."""
    samples: int = Field(default=256, ge=8)
    """Validation images, or as many as there are, and pictures made."""
    select: Literal["last", "best"] = "best"
    """Whether the export is made from the average with the best score, so that a late collapse does not reach it, or
    from the last one."""
    collapse: float = Field(default=0.002, ge=0, lt=1)
    """Made pictures whose pixels differ between pictures by no more than this standard deviation, as a fraction of the
    pixel range, are one picture: the guard then counts a collapse."""


@dataclass(frozen=True)
class Best:
    """The best average so far. Every checkpoint carries it, so it is as safe as the state it belongs to."""

    score: float
    images: int
    """Images seen when it was scored."""
    tensors: dict[str, Tensor]
    """State of the averaged producer, on the CPU."""
    half_life: int = 0
    """Of the average, in images; 0: not known, from before there were several."""

    def facts(self) -> dict[str, float | int]:
        """Return all that is no tensor, as JSON values."""
        return {"score": self.score, "images": self.images, "half_life": self.half_life}
