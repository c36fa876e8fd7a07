"""Findings: what a page says of the images: what is odd about them, and whether new ones look otherwise."""

from typing import Literal

from pydantic import Field

from components.report.record import Picture, Record


class OddImages(Record):
    """Images that are odd in one way."""

    name: str = Field(min_length=1)
    images: int = Field(ge=0)
    words: str
    """What that means."""
    examples: Picture | None = None
    """None where there are none."""


class QualityCard(Record):
    """What is odd about the images of a run."""

    digest: str
    images: int = Field(ge=0)
    """All of them."""
    odd: tuple[OddImages, ...]
    left_out: int | None = None
    """Images that training left out because a near-copy of each is held out; None where it leaves none out."""
    classes: dict[str, dict[str, int]] = Field(default_factory=dict)
    """By class, its images in each split."""


class Compared(Record):
    """One thing by which new images were compared with those learnt from."""

    name: str
    new: float
    known: float
    usual: tuple[float, float]
    """Where 95 % of `new` lie if there is no difference."""
    chance: float = Field(ge=0, le=1)
    """How often chance alone would be as far off."""


class DriftCard(Record):
    """Whether new images look otherwise than those that models in service learnt from."""

    models: tuple[str, ...]
    known: str
    """Digest of the shards learnt from."""
    verdict: Literal["drifted", "held", "unknown"]
    reasons: tuple[str, ...]
    new_images: int = Field(ge=0)
    images: int = Field(ge=0)
    """New ones that were compared."""
    measures: tuple[Compared, ...] = ()
    classes: tuple[Compared, ...] = ()
    formats: dict[str, tuple[float, float]] = Field(default_factory=dict)
    """By format of the files, its share of new images and of those learnt from."""
    file_px: tuple[float, float] | None = None
    """Median of the shorter side, likewise; None where there are no new images."""
