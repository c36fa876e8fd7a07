"""From measures to the rows of a score table: who is measured alike, who is best, how many digits are honest."""

import math
from collections.abc import Sequence

from pydantic import Field

from components.report.content import Better, Measure, Record, Subject


class ScoreCell(Record):
    """One number of the table, ready to print."""

    text: str
    interval: str = ""
    is_best: bool = False
    is_near_best: bool = False
    """Its interval meets the interval of the best, so the two are not told apart."""


class ScoreRow(Record):
    """One metric under one protocol; a column that was not measured this way has None."""

    metric: str
    unit: str
    better: Better
    protocol: str
    is_detail: bool
    is_repeated: bool = False
    """The metric has other rows too, measured under other protocols."""
    cells: tuple[ScoreCell | None, ...] = Field(min_length=1)
    measures: tuple[Measure | None, ...] = Field(min_length=1)


def score_rows(subjects: Sequence[Subject]) -> tuple[ScoreRow, ...]:
    """Return the table of `subjects`, a column each: a row for every pair (metric, protocol), in order of appearance.

    Numbers with different protocols are never put in one row, so nothing that cannot be compared is compared.

    Raises:
        ValueError: A subject holds one metric under one protocol twice, or subjects disagree on which way is better.
    """
    columns = [_by_key(subject) for subject in subjects]
    keys = list(dict.fromkeys(key for column in columns for key in column))
    names = [metric for metric, _ in keys]
    ordered = sorted(keys, key=lambda key: names.index(key[0]))
    return tuple(_row([column.get(key) for column in columns], is_repeated=names.count(key[0]) > 1) for key in ordered)


def number(value: float, decimals: int | None = None) -> str:
    """Return a number as text, with `decimals` places or else four significant digits; "not finite" if it is not."""
    if not math.isfinite(value):
        return "not finite"
    if decimals is None:
        decimals = _decimals_for(abs(value) / 100)
    if value != 0 and abs(value) < 10 ** -(decimals + 1):
        return f"{value:.2e}".replace("-", "\N{MINUS SIGN}")
    return f"{value:,.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def short_count(images: float) -> str:
    """Return a count in at most four characters and a unit: 950, 12.5k, 3M."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(images) >= limit:
            return f"{images / limit:.3g}{suffix}"
    return f"{images:.3g}"


def _by_key(subject: Subject) -> dict[tuple[str, str], Measure]:
    column: dict[tuple[str, str], Measure] = {}
    for measure in subject.measures:
        key = (measure.metric, measure.protocol)
        if key in column:
            raise ValueError(f"{subject.name}: {measure.metric} appears twice under protocol {measure.protocol}")
        column[key] = measure
    return column


def _row(measures: Sequence[Measure | None], *, is_repeated: bool) -> ScoreRow:
    present = [measure for measure in measures if measure is not None]
    first = present[0]
    if len({measure.better for measure in present}) > 1:
        raise ValueError(f"{first.metric}: some columns say that lower is better, others that higher is")
    best = _best(present)
    decimals = _row_decimals(present)
    cells = tuple(None if measure is None else _cell(measure, best, decimals) for measure in measures)
    return ScoreRow(
        metric=first.metric,
        unit=first.unit,
        better=first.better,
        protocol=first.protocol,
        is_detail=first.is_detail,
        is_repeated=is_repeated,
        cells=cells,
        measures=tuple(measures),
    )


def _best(present: Sequence[Measure]) -> Measure | None:
    """Return the best finite measure; None where there is no second one to beat."""
    finite = [measure for measure in present if math.isfinite(measure.value)]
    if len(finite) < 2:
        return None
    choose = min if finite[0].better == "lower" else max
    return choose(finite, key=lambda measure: measure.value)


def _cell(measure: Measure, best: Measure | None, decimals: int | None) -> ScoreCell:
    interval = ""
    if measure.low is not None and measure.high is not None:
        interval = f"[{number(measure.low, decimals)}, {number(measure.high, decimals)}]"
    is_best = best is not None and measure.value == best.value
    return ScoreCell(
        text=number(measure.value, decimals),
        interval=interval,
        is_best=is_best,
        is_near_best=best is not None and not is_best and _meet(measure, best),
    )


def _meet(one: Measure, other: Measure) -> bool:
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return False
    return one.low <= other.high and other.low <= one.high


def _row_decimals(present: Sequence[Measure]) -> int | None:
    """Return the decimals that show two digits of the narrowest interval; None when no interval has a width."""
    halves = [(m.high - m.low) / 2 for m in present if m.low is not None and m.high is not None]
    widths = [half for half in halves if math.isfinite(half) and half > 0]
    if widths:
        return _decimals_for(min(widths))
    values = [abs(m.value) for m in present if math.isfinite(m.value) and m.value != 0]
    return _decimals_for(min(values) / 100) if values else None


def _decimals_for(step: float) -> int:
    """Return the decimals at which two digits of `step` are seen, from 0 to 6."""
    if step <= 0 or not math.isfinite(step):
        return 2
    return min(6, max(0, 1 - math.floor(math.log10(step))))
