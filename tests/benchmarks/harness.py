"""Time contenders side by side: interleaved rounds in rotated order, wall and CPU time, one ratio per round.

A figure is ours against one or more peers. Ours runs twice per round under two names; how far the two differ (the
canary) says how much of a ratio is noise. Equal work is checked before the clock starts.
"""

import os
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple, Protocol

CANARY_TOLERANCE = 0.05
"""Ours against ours may differ by this much, as a fraction; beyond it a clock is not believed."""
TRIES = 3
"""Times that the rounds are run while neither clock can be believed."""


class Timing(NamedTuple):
    """What one measurement took."""

    wall_s: float
    cpu_s: float
    """Processor time, user and system, of the process and of the children that it waited for."""


class Contender(Protocol):
    """One side of a comparison."""

    name: str
    units: float
    """Pieces of work, e.g. images, in one measurement."""

    def measure(self) -> Timing:
        """Do the work once and return what it took."""
        ...


@dataclass(frozen=True)
class Timed:
    """A contender that is a function of this process."""

    name: str
    units: float
    work: Callable[[], object]

    def measure(self) -> Timing:
        wall, cpu = time.perf_counter(), _cpu_s()
        self.work()
        return Timing(time.perf_counter() - wall, _cpu_s() - cpu)


@dataclass(frozen=True)
class Peer:
    """Whom ours is compared with."""

    contender: Contender
    goal: float | None = None
    """Rate of ours over the peer's that is hoped for; None: shown for comparison only."""


@dataclass(frozen=True)
class Figure:
    """One comparison."""

    name: str
    unit: str
    """What is counted, in the plural, e.g. "images"."""
    ours: Contender
    peers: Sequence[Peer]
    check: Callable[[], str]
    """Raises unless all contenders do equal work, and returns in words what was found equal."""
    cores: int = 1
    """Processor cores that all contenders are held to."""
    clocks: Sequence[str] = ("wall", "cpu")
    """What its goals are stated in, the preferred one first."""


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    rounds: int = 5
    scale: float = 1.0
    """Factor on the amount of work per measurement; under 1 only to try things out."""

    def of(self, amount: int, least: int = 1) -> int:
        """Return `amount` scaled, at least `least`."""
        return max(least, round(amount * self.scale))


def compare(figure: Figure, rounds: int) -> dict[str, Any]:
    """Return a figure's measurements as JSON.

    Ratios are rates, ours over the other's, one per round. Rounds are added, up to three times as many, while the
    canary of neither clock is within 5 %.
    """
    contenders = [figure.ours, *(peer.contender for peer in figure.peers), figure.ours]
    timings: list[list[Timing]] = [[] for _ in contenders]
    with held_to(figure.cores):
        equal = figure.check()
        for contender in contenders[:-1]:
            contender.measure()
        for _ in range(TRIES):
            for _ in range(rounds):
                for place in _rotated(len(contenders), len(timings[0])):
                    timings[place].append(contenders[place].measure())
            canary = _ratios(figure.ours, timings[0], figure.ours, timings[-1])
            if (clock := _believed(canary, figure.clocks)) is not None:
                break
    return {
        "figure": figure.name,
        "unit": figure.unit,
        "cores": figure.cores,
        "rounds": len(timings[0]),
        "equal_work": equal,
        "ours": _rates(figure.ours, timings[0]),
        "canary": canary,
        "clock": clock,
        "peers": [
            {
                **_rates(peer.contender, measured),
                "goal": peer.goal,
                "ratio": (ratio := _ratios(figure.ours, timings[0], peer.contender, measured)),
                "verdict": verdict({each: ratio[each] for each in figure.clocks}, peer.goal, clock),
            }
            for peer, measured in zip(figure.peers, timings[1:-1], strict=True)
        ],
    }


def verdict(ratio: dict[str, dict[str, float]], goal: float | None, clock: str | None) -> str:
    """Return whether the goal is reached, by the clock that can be believed or, where none can, in every round."""
    if goal is None:
        return "shown"
    if clock is not None:
        return f"met by {clock}" if ratio[clock]["median"] >= goal else f"missed by {clock}"
    if min(rounds["min"] for rounds in ratio.values()) >= goal:
        return "met in every round"
    return "missed in every round" if max(rounds["max"] for rounds in ratio.values()) < goal else "too noisy"


@contextmanager
def held_to(cores: int) -> Iterator[None]:
    """Run this thread, and what it starts, on the first `cores` of its processor cores (Linux only; else anywhere)."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:cores])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _cpu_s() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _rotated(count: int, by: int) -> list[int]:
    return [(place + by) % count for place in range(count)]


def _ratios(
    ours: Contender, our_timings: Sequence[Timing], other: Contender, other_timings: Sequence[Timing]
) -> dict[str, dict[str, float]]:
    worth = ours.units / other.units
    ratios = {}
    for clock in ("wall", "cpu"):
        per_round = [
            worth * getattr(theirs, f"{clock}_s") / getattr(mine, f"{clock}_s")
            for mine, theirs in zip(our_timings, other_timings, strict=True)
        ]
        ratios[clock] = {"median": median(per_round), "min": min(per_round), "max": max(per_round)}
    return ratios


def _believed(canary: dict[str, dict[str, float]], clocks: Sequence[str]) -> str | None:
    """Return the first of the clocks by which ours equals ours, if there is one."""
    for clock in clocks:
        if abs(canary[clock]["median"] - 1) <= CANARY_TOLERANCE:
            return clock
    return None


def _rates(contender: Contender, timings: Sequence[Timing]) -> dict[str, Any]:
    return {
        "name": contender.name,
        "units": contender.units,
        "best_per_s": contender.units / min(timing.wall_s for timing in timings),
        "best_per_cpu_s": contender.units / min(timing.cpu_s for timing in timings),
        "timings_s": [list(timing) for timing in timings],
    }
