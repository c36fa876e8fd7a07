"""Drift: the pure decision whether a model in service does worse on today's data than when it was promoted."""

from typing import Literal

from components.evaluation.gate import improvement_apart
from components.evaluation.protocol import Protocol, Score
from components.section import Section


class Drift(Section):
    """How one score of a model moved from one set of held-out images to another."""

    verdict: Literal["moved", "held", "unknown"]
    """moved: it is worse by more than chance explains. held: it is not. unknown: the two cannot be compared."""
    reasons: tuple[str, ...]
    """Sentences with the numbers."""


def drift_of(then: Score, now: Score) -> Drift:
    """Decide from one model's score on the yardstick and on today's data whether it moved beyond its interval.

    It moved if the whole 95 % interval of the difference between the two lies on the worse side of zero. The images are
    not the same, so nothing is paired: the interval comes from those of both scores. A yardstick's images may be among
    today's, which makes the difference smaller and the interval too wide: this errs on the side of held.

    Args:
        then: The score on the yardstick, with which the model was put in service.
        now: The same score of the same model on today's held-out images. All but the images must have been the same:
            also their number, which moves distances between sets.
    """
    unlike = [
        f"{field} was {getattr(then, field)!r} and is {getattr(now, field)!r}"
        for field in ("name", "better")
        if getattr(then, field) != getattr(now, field)
    ]
    unlike += [
        f"{field} was {getattr(then.protocol, field)!r} and is {getattr(now.protocol, field)!r}"
        for field in Protocol.model_fields
        if field != "reference" and getattr(then.protocol, field) != getattr(now.protocol, field)
    ]
    if unlike:
        return Drift(verdict="unknown", reasons=(f"{then.name} cannot be compared: {'; '.join(unlike)}",))
    gain = improvement_apart(now, then)
    direction, far, near = ("better", gain.high, gain.low) if gain.value > 0 else ("worse", -gain.low, -gain.high)
    reason = (
        f"{now.name} is {_written(now)} on today's data, it was {_written(then)} on the yardstick: {direction} by "
        f"{abs(gain.value):.4g} ({near:.4g} to {far:.4g}, 95 %, from both intervals)"
    )
    return Drift(verdict="moved" if gain.high < 0 else "held", reasons=(reason,))


def _written(score: Score) -> str:
    return f"{score.value:.6g} ({score.low:.6g} to {score.high:.6g})"
