"""A lost process is started again, a failing one is not, and a crash loop ends with its reason."""

from collections.abc import Iterator

import pytest

from components.launch.outcome import LaunchFailed, Stopped
from components.launch.persist import persist

LOST = LaunchFailed("rank 1 of 2 failed: ended by SIGKILL", lost=True)


def attempts(*endings: Exception | None):
    """Return an attempt that ends as told, one after the other, and the list of those made."""
    left: Iterator[Exception | None] = iter(endings)
    made: list[Exception | None] = []

    def attempt() -> None:
        made.append(next(left))
        if made[-1] is not None:
            raise made[-1]

    return attempt, made


def test_a_lost_process_is_started_again_until_all_ends_well():
    attempt, made = attempts(LOST, LOST, None)
    persist(attempt, iter([None, 320]).__next__, relaunches=2)
    assert len(made) == 3


@pytest.mark.parametrize("ending", [LaunchFailed("ValueError: no such shard"), Stopped("resumable at 16")])
def test_an_error_of_ours_and_a_stop_are_not_tried_again(ending):
    attempt, made = attempts(ending, None)
    with pytest.raises(type(ending), match=str(ending)):
        persist(attempt, lambda: 16, relaunches=5)
    assert len(made) == 1


@pytest.mark.parametrize("place", [None, 320])
def test_two_losses_without_a_checkpoint_between_end_it_with_place_and_reason(place):
    attempt, made = attempts(LOST, LOST, None)
    with pytest.raises(LaunchFailed, match=rf"twice in a row .* after {place or 0} images; the last time: .*SIGKILL"):
        persist(attempt, lambda: place, relaunches=5)
    assert len(made) == 2


def test_more_losses_than_allowed_end_it():
    attempt, made = attempts(LOST, LOST, LOST, None)
    with pytest.raises(LaunchFailed, match=r"in each of 3 launches, execution\.relaunches allows 2; .*SIGKILL"):
        persist(attempt, iter(range(16, 160, 16)).__next__, relaunches=2)
    assert len(made) == 3


def test_with_no_relaunch_allowed_the_first_loss_is_told_as_it_is():
    attempt, made = attempts(LOST, None)
    with pytest.raises(LaunchFailed) as raised:
        persist(attempt, lambda: 16, relaunches=0)
    assert raised.value is LOST
    assert len(made) == 1
