"""Halving: who goes on to the next rung, and who is best, from the marks that trials have got: pure functions.

Successive halving, Jamieson and Talwalkar 2016, https://arxiv.org/abs/1502.07943, with images seen as the resource.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from components.section import Section


class Mark(Section):
    """What a trial came to at one rung."""

    trial: int
    """Its number; 0 is the configuration without the sweep."""
    rung: int
    """From 0."""
    score: float | None
    """Lower is better; None for one that failed."""
    images: int
    """Images seen by then."""
    seconds: float
    """How long it had trained by then, in all."""
    metric: str = ""
    """What the score is, e.g. "hole_error"."""
    curve: tuple[tuple[int, float], ...] = ()
    """Pairs (images seen, score) up to there."""
    reason: str = ""
    """Why it failed; empty for one that did not."""


class Step(NamedTuple):
    """A trial to be brought to a rung."""

    trial: int
    rung: int
    """From 0."""

    @property
    def title(self) -> str:
        """What people call it; they count rungs from 1."""
        return f"trial {self.trial} to rung {self.rung + 1}"


def next_step(trials: int, rungs: int, reduction: int, marks: Sequence[Mark]) -> Step | None:
    """Return what is to be done next; None where all is done, or where nobody is left.

    Args:
        trials: How many there are.
        rungs: How many rungs.
        reduction: One of so many goes on.
        marks: What trials have come to so far.
    """
    entrants = list(range(trials))
    for rung in range(rungs):
        here = {mark.trial: mark for mark in marks if mark.rung == rung}
        missing = next((trial for trial in entrants if trial not in here), None)
        if missing is not None:
            return Step(missing, rung)
        entrants = _promoted([here[trial] for trial in entrants], reduction)
    return None


def ranking(marks: Iterable[Mark]) -> list[int]:
    """Return the trials, best first: who came further, then who scored better there; those that failed come last."""
    last: dict[int, Mark] = {}
    for mark in sorted(marks, key=lambda one: one.rung):
        last[mark.trial] = mark
    return sorted(last, key=lambda trial: (last[trial].score is None, -last[trial].rung, _order(last[trial])))


def _promoted(marks: Sequence[Mark], reduction: int) -> list[int]:
    """Return who goes on: the best of them, one of so many, but at least one that did not fail."""
    ranked = sorted((mark for mark in marks if mark.score is not None), key=_order)
    return sorted(mark.trial for mark in ranked[: max(1, len(marks) // reduction)])


def _order(mark: Mark) -> tuple[float, int]:
    return (math.inf if mark.score is None else mark.score, mark.trial)
