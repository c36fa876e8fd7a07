"""From scores to the rows of a score table: who is measured alike, who is best, how many digits are honest."""

import math
from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import Field

from components.evaluation.protocol import Protocol, Score
from components.report.content import Fact, Record, Subject


class ScoreCell(Record):
    """One number of the table, ready to print."""

    text: str
    interval: str
    is_best: bool = False
    is_near_best: bool = False
    """Its interval meets the interval of the best, so the two are not told apart."""


class ScoreRow(Record):
    """One metric under one protocol; a column that was not measured this way has None."""

    metric: str
    better: Literal["lower", "higher"]
    protocol: str
    """Digest."""
    is_repeated: bool = False
    """The metric has other rows too, measured under other protocols."""
    cells: tuple[ScoreCell | None, ...] = Field(min_length=1)
    scores: tuple[Score | None, ...] = Field(min_length=1)

    @property
    def is_detail(self) -> bool:
        """Whether it is folded away under the table, as scores by bin of missing area are."""
        return "/" in self.metric


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


def protocols_of(subjects: Iterable[Subject]) -> dict[str, Protocol]:
    """Return the protocols of all scores by digest, in order of appearance."""
    scores = (score for subject in subjects for score in subject.scores)
    return {score.protocol.digest: score.protocol for score in scores}


def protocol_facts(protocol: Protocol) -> list[Fact]:
    """Return how a score was measured, for people to check."""
    facts = protocol.model_dump(mode="json", exclude_none=True)
    return [Fact(label=name.replace("_", " "), value=str(value)) for name, value in facts.items()]


def number(value: float, decimals: int | None = None) -> str:
    """Return a number as text, with `decimals` places or else four significant digits; "not finite" if it is not."""
    if not math.isfinite(value):
        return "not finite"
    if decimals is None:
        decimals = _decimals_for(abs(value) / 100)
    if value != 0 and abs(value) < 10 ** -(decimals + 1):
        return f"{value:.2e}".replace("-", "\N{MINUS SIGN}")
    return f"{value:,.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def decimals_for_all(halves: Sequence[float], values: Sequence[float]) -> int:
    """Return the decimals of a whole column: those that show two digits of its narrowest interval.

    Args:
        halves: Half the width of each interval; those without a width do not count.
        values: The values, whose first two digits count where no interval has a width.
    """
    steps = [half for half in halves if half > 0] or [abs(value) / 100 for value in values if value != 0]
    return _decimals_for(min(steps)) if steps else 2


def short_count(images: float) -> str:
    """Return a count in at most four characters and a unit: 950, 12.5k, 3M."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(images) >= limit:
            return f"{images / limit:.3g}{suffix}"
    return f"{images:.3g}"


def _by_key(subject: Subject) -> dict[tuple[str, str], Score]:
    column: dict[tuple[str, str], Score] = {}
    for score in subject.scores:
        key = (score.name, score.protocol.digest)
        if key in column:
            raise ValueError(f"{subject.name}: {score.name} appears twice under protocol {key[1]}")
        column[key] = score
    return column


def _row(scores: Sequence[Score | None], *, is_repeated: bool) -> ScoreRow:
    present = [score for score in scores if score is not None]
    first = present[0]
    if len({score.better for score in present}) > 1:
        raise ValueError(f"{first.name}: some columns say that lower is better, others that higher is")
    best, decimals = _best(present), _row_decimals(present)
    return ScoreRow(
        metric=first.name,
        better=first.better,
        protocol=first.protocol.digest,
        is_repeated=is_repeated,
        cells=tuple(None if score is None else _cell(score, best, decimals) for score in scores),
        scores=tuple(scores),
    )


def _best(present: Sequence[Score]) -> Score | None:
    """Return the best score; None where there is no second one to beat."""
    if len(present) < 2:
        return None
    choose = min if present[0].better == "lower" else max
    return choose(present, key=lambda score: score.value)


def _cell(score: Score, best: Score | None, decimals: int | None) -> ScoreCell:
    is_best = best is not None and score.value == best.value
    meets_best = best is not None and score.low <= best.high and best.low <= score.high
    return ScoreCell(
        text=number(score.value, decimals),
        interval=f"[{number(score.low, decimals)}, {number(score.high, decimals)}]",
        is_best=is_best,
        is_near_best=meets_best and not is_best,
    )


def _row_decimals(present: Sequence[Score]) -> int | None:
    """Return the decimals that show two digits of the narrowest interval; None when no interval has a width."""
    if not any(score.value != 0 or score.high > score.low for score in present):
        return None
    return decimals_for_all([(score.high - score.low) / 2 for score in present], [score.value for score in present])


def _decimals_for(step: float) -> int:
    """Return the decimals at which two digits of `step` are seen, from 0 to 6."""
    if step <= 0 or not math.isfinite(step):
        return 2
    return min(6, max(0, 1 - math.floor(math.log10(step))))
