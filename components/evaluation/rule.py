"""Rule: what a configuration asks of a challenger before it may replace the champion."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from components.section import Grown, Section


class Floor(Section):
    """An absolute limit on one score of the challenger."""

    metric: str
    """Name of the score; one that ends in `*`, such as `kid_efficientnet_lite0/class_*`, stands for all that begin so,
    each of which must keep the limit."""
    at_least: float | None = Field(default=None, allow_inf_nan=False)
    """Smallest value allowed, in the score's unit."""
    at_most: float | None = Field(default=None, allow_inf_nan=False)
    """Largest value allowed, in the score's unit."""

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError(f"the floor on {self.metric!r} needs at_least or at_most")
        return self


class Guard(Section):
    """A score besides the deciding one that must not get worse than the champion's by more than is stated."""

    metric: str
    """Name of the score."""
    may_worsen: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Most by which it may be worse than the champion's, in the score's unit; a floor bounds what many nights add up
    to."""


class PromotionRule(Grown):
    """When a challenger may replace the champion."""

    metric: str
    """Name of the score that decides, e.g. `fd_efficientnet_lite0` or `psnr_hole`."""
    better: Literal["lower", "higher"] | None = None
    """Which direction is an improvement; None takes the score's own, any other must agree with it."""
    margin: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Least improvement on the champion, in the score's unit."""
    relative_margin: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Least improvement on the champion as a fraction of its value; the larger of the two margins holds."""
    beyond_noise: bool = True
    """Whether the 95 % interval of the improvement must lie above zero, against champion and baselines alike."""
    must_beat_baselines: bool | tuple[str, ...] = True
    """Baselines that must be beaten: true for all that were measured, false for none, or a list of names."""
    exempt_baselines: tuple[str, ...] = ("template",)
    """Baselines that `true` leaves out where too few pictures were drawn to see copies. Where there are enough, those
    are left out, whatever they are called, that are seen to copy training images, and no others."""
    floors: tuple[Floor, ...] = ()
    """Absolute limits that the challenger must keep."""
    also: tuple[Guard, ...] = ()
    """Other scores that must not get worse: `metric` alone decides what is better, and each of these can refuse."""
    copies_significance: float = Field(default=0.01, ge=0, lt=0.5, allow_inf_nan=False)
    """Chance, at most, at which a model is refused that makes near-copies of training images no more often than
    held-out images are (fraction); more often is refused. 0 lets copies pass."""
    most_leaked: float = Field(default=0.25, ge=0, le=1)
    """Largest share of held-out images that may show what a training image shows (fraction); where the interval of the
    share lies above it the challenger is refused, for its scores tell what was learned by heart. 1 lets all pass."""
    approval: Literal["none", "required"] = "none"
    """required: a version that the gate would promote is held until a person says `kintsugi approve` or `reject`."""
    attempt_days: int = Field(default=7, ge=0, le=365)
    """Days over which versions of the model are counted as attempts at being better (days). The interval of the
    improvement widens with their number, so that of equal challengers at most 5 in 100 such spans see one promoted by
    luck, however many are tried; a single attempt is judged as ever. 0 counts none."""

    ADDED: ClassVar[frozenset[str]] = frozenset(
        {"also", "approval", "attempt_days", "copies_significance", "most_leaked"}
    )
