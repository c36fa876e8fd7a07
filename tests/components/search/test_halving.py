"""Who goes on follows from marks alone, so a sweep goes on where it was, and costs what successive halving costs."""

import pytest

from components.search.halving import Mark, Step, next_step, ranking


def mark(trial: int, rung: int, score: float | None) -> Mark:
    reason = "diverged" if score is None else ""
    return Mark(trial=trial, rung=rung, score=score, images=10 * 3**rung, seconds=1.0, reason=reason)


def carried_out(scores: list[float | None], rungs: int, reduction: int) -> list[Mark]:
    """Return the marks of a sweep in which a trial scores the same at each rung."""
    marks: list[Mark] = []
    while (step := next_step(len(scores), rungs, reduction, marks)) is not None:
        marks.append(mark(step.trial, step.rung, scores[step.trial]))
    return marks


@pytest.mark.parametrize(
    ("trials", "rungs", "reduction", "at_each"),
    [(9, 3, 3, [9, 3, 1]), (8, 4, 2, [8, 4, 2, 1]), (10, 3, 3, [10, 3, 1]), (2, 3, 4, [2, 1, 1]), (5, 1, 3, [5])],
)
def test_one_of_so_many_goes_on_from_each_rung(trials, rungs, reduction, at_each):
    marks = carried_out([float(trials - number) for number in range(trials)], rungs, reduction)
    assert [sum(one.rung == rung for one in marks) for rung in range(rungs)] == at_each
    assert ranking(marks)[0] == trials - 1, "the last one scores lowest"


def test_a_rung_costs_as_many_images_as_the_next():
    marks = carried_out([float(number) for number in range(27)], 4, 3)
    assert {sum(one.images for one in marks if one.rung == rung) for rung in range(4)} == {270}


def test_what_is_next_follows_from_the_marks_whatever_their_order():
    marks = carried_out([3.0, 1.0, 2.0, 4.0], 2, 2)
    for kept in range(len(marks)):
        expected = Step(marks[kept].trial, marks[kept].rung)
        assert next_step(4, 2, 2, marks[:kept]) == next_step(4, 2, 2, marks[:kept][::-1]) == expected


def test_equal_scores_let_the_first_go_on():
    assert [one.trial for one in carried_out([1.0, 1.0, 1.0], 2, 3) if one.rung == 1] == [0]


def test_trials_that_fail_never_go_on_and_come_last():
    marks = carried_out([None, 2.0, None, 1.0], 2, 2)
    assert {one.trial for one in marks if one.rung == 1} == {1, 3}
    assert ranking(marks) == [3, 1, 0, 2]


def test_who_came_further_is_before_who_scored_better_early():
    marks = [mark(0, 0, 1.0), mark(1, 0, 2.0), mark(1, 1, 3.0)]
    assert ranking(marks) == [1, 0]


def test_one_that_fails_later_comes_last_all_the_same():
    assert ranking([mark(0, 0, 1.0), mark(0, 1, None), mark(1, 0, 2.0)]) == [1, 0]


def test_where_all_fail_nothing_is_left_to_do():
    assert carried_out([None, None], 3, 2) == [mark(0, 0, None), mark(1, 0, None)]
