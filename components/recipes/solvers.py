"""Solvers of ordinary differential equations from time 0 to 1, in steps of equal length."""

from collections.abc import Callable
from typing import Literal

from jaxtyping import Float
from torch import Tensor

Velocity = Callable[[Float[Tensor, "*shape"], float], Float[Tensor, "*shape"]]
"""What x changes by per unit of time, at a place and a time."""

Solver = Literal["euler", "midpoint", "heun"]


def solve(velocity: Velocity, start: Float[Tensor, "*shape"], steps: int, solver: Solver) -> Float[Tensor, "*shape"]:
    """Return where a place at time 0 has come by time 1.

    The error shrinks with the number of steps by Euler's method, with its square by the two others, which ask for two
    velocities a step: Hairer et al. 1993, Solving Ordinary Differential Equations I, section II.1.
    """
    x, length = start, 1 / steps
    for number in range(steps):
        x = _STEPS[solver](velocity, x, number * length, length)
    return x


def _euler(velocity: Velocity, x: Tensor, time: float, length: float) -> Tensor:
    return x + length * velocity(x, time)


def _midpoint(velocity: Velocity, x: Tensor, time: float, length: float) -> Tensor:
    half = x + length / 2 * velocity(x, time)
    return x + length * velocity(half, time + length / 2)


def _heun(velocity: Velocity, x: Tensor, time: float, length: float) -> Tensor:
    before = velocity(x, time)
    after = velocity(x + length * before, time + length)
    return x + length / 2 * (before + after)


_STEPS = {"euler": _euler, "midpoint": _midpoint, "heun": _heun}
