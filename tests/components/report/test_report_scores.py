"""Which numbers share a row, which is best, and how they are printed."""

import math

import pytest

from components.report.content import Measure, Subject
from components.report.scores import ScoreRow, number, score_rows, short_count


def measure(value: float, half: float | None = None, better: str = "lower", protocol: str = "p", metric: str = "fd"):
    low, high = (None, None) if half is None else (value - half, value + half)
    return Measure(metric=metric, value=value, low=low, high=high, better=better, protocol=protocol)


def table(*columns: list[Measure]) -> tuple[ScoreRow, ...]:
    return score_rows([Subject(name=f"s{n}", role="model", measures=tuple(c)) for n, c in enumerate(columns)])


def test_different_protocols_never_share_a_row():
    rows = table([measure(1.0, protocol="a")], [measure(0.5, protocol="b")])
    assert [[cell is not None for cell in row.cells] for row in rows] == [[True, False], [False, True]]
    assert all(row.is_repeated for row in rows)
    assert not any(cell.is_best for row in rows for cell in row.cells if cell)


@pytest.mark.parametrize(("better", "best"), [("lower", 0), ("higher", 1)])
def test_the_best_of_a_row_follows_the_metrics_direction(better, best):
    (row,) = table([measure(1.0, better=better)], [measure(2.0, better=better)])
    assert [cell.is_best for cell in row.cells] == [best == 0, best == 1]


def test_an_interval_that_meets_the_bests_is_marked():
    (row,) = table([measure(1.0, 0.3)], [measure(1.5, 0.3)], [measure(3.0, 0.3)])
    assert [cell.is_near_best for cell in row.cells] == [False, True, False]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_never_best_and_is_named(bad):
    (row,) = table([measure(bad)], [measure(2.0)], [measure(3.0)])
    assert row.cells[0].text == "not finite"
    assert [cell.is_best for cell in row.cells] == [False, True, False]


def test_a_single_number_is_not_called_best():
    (row,) = table([measure(1.0)])
    assert not row.cells[0].is_best


def test_a_row_prints_two_digits_of_its_narrowest_interval():
    (row,) = table([measure(23.45678, 0.61)], [measure(412.3456, 9.0)])
    assert [cell.text for cell in row.cells] == ["23.46", "412.35"]
    assert row.cells[0].interval == "[22.85, 24.07]"


def test_rows_of_one_metric_stay_together():
    rows = table([measure(1, metric="a"), measure(1, metric="b")], [measure(1, metric="a", protocol="q")])
    assert [row.metric for row in rows] == ["a", "a", "b"]


def test_a_metric_given_twice_is_refused():
    with pytest.raises(ValueError, match="s0: fd appears twice"):
        table([measure(1.0), measure(2.0)])


def test_columns_that_disagree_on_the_better_way_are_refused():
    with pytest.raises(ValueError, match="lower is better"):
        table([measure(1.0)], [measure(1.0, better="higher")])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.00"),
        (0.041237, "0.04124"),
        (61.2, "61.20"),
        (318.04, "318.0"),
        (-3.5, "−3.500"),
        (1.2e-9, "1.20e−09"),
        (4292, "4,292"),
    ],
)
def test_numbers_are_printed_with_four_digits(value, text):
    assert number(value) == text


@pytest.mark.parametrize(("images", "text"), [(0, "0"), (950, "950"), (12_500, "12.5k"), (3_000_000, "3M")])
def test_counts_are_short(images, text):
    assert short_count(images) == text
