"""Attempts: how many versions of a model were registered in the days before one, and so how often luck was tried."""

from components.tracking import seals
from components.tracking.standing import State

_DAY_S = 86_400


def attempt_of(state: State, version: int, days: int) -> int:
    """Return which attempt within so many days a version is, from 1: it and those registered in that span before it.

    It is the same whenever it is asked, so that a version judged again is judged as the same attempt. One that was
    deleted since counts by its seal in the ledger, if its number is above those from before the span.

    Args:
        state: Of the version's model.
        version: Its number.
        days: The span; 0 counts the version alone.

    Raises:
        ValueError: There is no such version.
    """
    since = state.version(version).created_s - days * _DAY_S
    if not days:
        return 1
    outside = (number for number, one in state.versions.items() if number < version and one.created_s < since)
    counted = range(max(outside, default=0) + 1, version + 1)
    return sum(number in state.versions or seals.is_sealed(state.params, number) for number in counted)
