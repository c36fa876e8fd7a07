"""Luck: how much wider an interval must be, the more often somebody has tried, so that trying does not win."""

import functools

ALPHA = 0.025
"""Chance that one challenger as good as the champion is taken for better: the upper tail of a 95 % interval."""
_DEGREES = 29
"""Degrees of freedom of the intervals that are widened: those of the fewest pairs, 30, that the gate compares. Two
jackknives of 20 groups have 38 and larger sets more, for which the widening errs on the side of the champion."""


def share(attempt: int) -> float:
    """Return the part of `ALPHA` that the n-th attempt of a span may spend: 2 / (n (n + 1)).

    The parts are 1, 1/3, 1/6, 1/10 ... and sum to 2 however many there are. By Bonferroni's inequality, which asks
    nothing of how attempts depend on each other, no more than 2 `ALPHA` = 5 % of spans see an equal challenger
    promoted; the first attempt keeps the whole of `ALPHA`, so that a single one is judged as before. It is the
    alpha-spending of Tian and Ramdas 2021, https://arxiv.org/abs/1910.04900, with this series for gamma.
    A challenger's n counts all that came in the span before it, so whatever span one looks at, its j-th attempt has an
    n of j or more, and the bound holds for every one.

    Args:
        attempt: n, from 1.

    Raises:
        ValueError: It is less than 1.
    """
    if attempt < 1:
        raise ValueError(f"attempt {attempt}: expected 1 or more")
    return 2 / (attempt * (attempt + 1))


@functools.cache
def stretch(attempt: int) -> float:
    """Return how many times as wide as the 95 % interval the n-th attempt's is: the ratio of Student's quantiles.

    Student's and not the normal's, whose thin tails promise more than an estimated deviation keeps.
    """
    if attempt == 1:
        return 1.0
    from scipy.special import stdtrit  # a tenth of a second, which reading a configuration should not cost

    return float(stdtrit(_DEGREES, 1 - ALPHA * share(attempt)) / stdtrit(_DEGREES, 1 - ALPHA))
