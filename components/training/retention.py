"""Retention: which checkpoints of a run stay on disk."""

from collections.abc import Collection


def kept(places: Collection[int], good: Collection[int], last: int, every: int | None) -> set[int]:
    """Return the places, in images seen, whose checkpoints stay.

    The best average needs no rule: every checkpoint carries it.

    Args:
        places: All there are.
        good: Those that a diverged run may go back to. The newest of all stays too, also if it is none of them: it may
            be of a stop, which must not push out what the run would have gone back to without the stop.
        last: How many of the newest good ones stay.
        every: The first one of each so many images stays; None keeps none for that.
    """
    ordered = sorted(places)
    stay = {*ordered[-1:], *sorted(good)[-last:]}
    if every is not None:
        first: dict[int, int] = {}
        for place in ordered:
            first.setdefault(place // every, place)
        stay |= {place for number, place in first.items() if number > 0}
    return stay
