"""Solvers of ordinary differential equations from time 0 to 1, in steps of equal length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from jaxtyping import Float

from components.deferred.torch import Tensor

Place = Float[Tensor, "*shape"]
Velocity = Callable[[Place, float], Place]
"""What x changes by per unit of time, at a place and a time."""

Solver = Literal["euler", "midpoint", "heun"]


def solve(velocity: Velocity, start: Place, steps: int, solver: Solver) -> Place:
    """Return where a place at time 0 has come by time 1.

    The error shrinks with the number of steps by Euler's method, with its square by the two others, which ask for two
    velocities a step: Hairer et al. 1993, Solving Ordinary Differential Equations I, section II.1.
    """
    x, length = start, 1 / steps
    for number in range(steps):
        x = _STEPS[solver](velocity, x, number * length, length)
    return x


def _euler(velocity: Velocity, x: Place, time: float, length: float) -> Place:
    return x + length * velocity(x, time)


def _midpoint(velocity: Velocity, x: Place, time: float, length: float) -> Place:
    half = x + length / 2 * velocity(x, time)
    return x + length * velocity(half, time + length / 2)


def _heun(velocity: Velocity, x: Place, time: float, length: float) -> Place:
    before = velocity(x, time)
    after = velocity(x + length * before, time + length)
    return x + length / 2 * (before + after)


_STEPS = {"euler": _euler, "midpoint": _midpoint, "heun": _heun}
