"""Ramps: values that move smoothly from one to another while images are seen."""

import math


def half_cosine(start: float, end: float, done: float) -> float:
    """Return the value between `start` and `end` at the fraction `done` of the way, along half a cosine; then `end`.

    After Loshchilov and Hutter 2017, equation 5, https://arxiv.org/abs/1608.03983.
    """
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def straight(start: float, end: float, done: float) -> float:
    """Return the value between `start` and `end` at the fraction `done` of the way, along a line; then `end`."""
    return end + (start - end) * (1 - min(1.0, done))
