"""Which numbers share a row, which is best, and how they are printed."""

import pytest

from components.evaluation.protocol import Protocol, Score
from components.report.content import Subject
from components.report.scores import ScoreRow, number, score_rows, short_count


def protocol(label: str) -> Protocol:
    """Return a protocol that differs from others by its label."""
    return Protocol(metric=label, implementation="test", reference="r", samples=100)


def score(value: float, half: float = 0.0, better: str = "lower", under: str = "p", name: str = "fd") -> Score:
    return Score(
        name=name, value=value, low=value - half, high=value + half, better=better, protocol=protocol(under)
    )  # fmt: skip


def table(*columns: list[Score]) -> tuple[ScoreRow, ...]:
    return score_rows([Subject(name=f"s{n}", role="model", scores=tuple(c)) for n, c in enumerate(columns)])


def test_different_protocols_never_share_a_row():
    rows = table([score(1.0, under="a")], [score(0.5, under="b")])
    assert [[cell is not None for cell in row.cells] for row in rows] == [[True, False], [False, True]]
    assert all(row.is_repeated for row in rows)
    assert not any(cell.is_best for row in rows for cell in row.cells if cell)


@pytest.mark.parametrize(("better", "best"), [("lower", 0), ("higher", 1)])
def test_the_best_of_a_row_follows_the_metrics_direction(better, best):
    (row,) = table([score(1.0, better=better)], [score(2.0, better=better)])
    assert [cell.is_best for cell in row.cells] == [best == 0, best == 1]


def test_an_interval_that_meets_the_bests_is_marked():
    (row,) = table([score(1.0, 0.3)], [score(1.5, 0.3)], [score(3.0, 0.3)])
    assert [cell.is_near_best for cell in row.cells] == [False, True, False]


def test_a_single_number_is_not_called_best():
    (row,) = table([score(1.0)])
    assert not row.cells[0].is_best


def test_a_row_prints_two_digits_of_its_narrowest_interval():
    (row,) = table([score(23.45678, 0.61)], [score(412.3456, 9.0)])
    assert [cell.text for cell in row.cells] == ["23.46", "412.35"]
    assert row.cells[0].interval == "[22.85, 24.07]"


def test_rows_of_one_metric_stay_together():
    rows = table([score(1, name="a"), score(1, name="b")], [score(1, name="a", under="q")])
    assert [row.metric for row in rows] == ["a", "a", "b"]


def test_a_metric_given_twice_is_refused():
    with pytest.raises(ValueError, match="s0: fd appears twice"):
        table([score(1.0), score(2.0)])


def test_columns_that_disagree_on_the_better_way_are_refused():
    with pytest.raises(ValueError, match="lower is better"):
        table([score(1.0)], [score(1.0, better="higher")])


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


def test_a_score_of_a_part_of_the_images_is_a_detail():
    whole, part = table([score(1.0, name="psnr"), score(1.0, name="psnr/0.1-0.2")])
    assert (whole.is_detail, part.is_detail) == (False, True)
