"""Differences: what sets runs apart, as rows of tables: scores beyond noise, configuration, data, cost."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import yaml

from components.evaluation.gate import improvement_apart
from components.evaluation.protocol import Score
from components.report.content import ModelPage, PageContent, Record
from components.report.costs import StageCost, money
from components.report.rendering import size
from components.report.scores import ScoreRow, decimals_for_all, number

_HOUR_S = 3600
_NOTHING = ""


class Apart(Record):
    """How one run's score differs from the first run's."""

    value: str
    """The run's own score."""
    text: str
    """By how much, in the score's unit; with a plus where it is better."""
    interval: str
    """95 %, from both intervals."""
    verdict: Literal["better", "worse", "noise"]
    """noise: the interval of the difference holds zero."""


class ApartRow(Record):
    """One metric: a cell for each run but the first; None where it was not measured alike."""

    metric: str
    better: Literal["lower", "higher"]
    first: str
    """The first run's score."""
    cells: tuple[Apart | None, ...]


class Row(Record):
    """One line of a table that has a column for each run."""

    label: str
    values: tuple[str, ...]


def scores_apart(rows: Sequence[ScoreRow], runs: int) -> tuple[ApartRow, ...]:
    """Return by how much each run differs from the first, and whether that is beyond noise, score by score.

    The intervals take the scores for independent; those of runs measured on the same images are not, so a small
    difference that is real may pass for noise, hardly the other way round.

    Args:
        rows: A table of scores whose first columns are the runs.
        runs: How many columns these are.
    """
    found = []
    for row in rows:
        first, *others = zip(row.scores[:runs], row.cells[:runs], strict=True)
        if first[0] is None or first[1] is None or row.is_detail:
            continue
        against, value = first[0], first[1].text
        cells = tuple(_apart(score, against, cell.text) if score and cell else None for score, cell in others)
        if any(cells):
            found.append(ApartRow(metric=row.metric, better=row.better, first=value, cells=cells))
    return tuple(found)


def _apart(score: Score, first: Score, value: str) -> Apart:
    gain = improvement_apart(score, first)
    decimals = decimals_for_all([(gain.high - gain.low) / 2], [gain.value])
    sign = "+" if gain.value > 0 else ""
    return Apart(
        value=value,
        text=f"{sign}{number(gain.value, decimals)}",
        interval=f"[{number(gain.low, decimals)}, {number(gain.high, decimals)}]",
        verdict="better" if gain.low > 0 else "worse" if gain.high < 0 else "noise",
    )


def configuration_rows(contents: Sequence[PageContent]) -> tuple[Row, ...]:
    """Return what the runs were asked for otherwise, a row for each value; one that a run lacks is empty there."""
    return _differing([_asked_for(one) for one in contents])


def _asked_for(content: PageContent) -> dict[str, str]:
    """Return the values of a configuration under their dotted names; of one that is no YAML, that it is not."""
    try:
        return dict(_leaves(yaml.safe_load(content.run.config) or {}))
    except yaml.YAMLError:
        return {"configuration": "not readable"}


def environment_rows(contents: Sequence[PageContent]) -> tuple[Row, ...]:
    """Return where and with what the runs were made otherwise: versions, commit, hardware."""
    return _differing([dict(_environment(one)) for one in contents])


def _environment(content: PageContent) -> Iterator[tuple[str, str]]:
    for fact in content.run.environment:
        if not fact.label.startswith("mlflow."):  # what MLflow calls the same
            yield fact.label.removeprefix("kintsugi.").removeprefix("env."), fact.value


def data_rows(contents: Sequence[PageContent]) -> tuple[Row, ...]:
    """Return what the runs learnt from otherwise: source, digests, and counts with the change from the first run."""
    return _differing([dict(_data(one, contents[0])) for one in contents])


def seeds(contents: Sequence[PageContent]) -> tuple[str, ...]:
    """Return the different seeds that the runs drew with, as their configurations say; none where they do not say."""
    found = [_asked_for(one).get("seed", _NOTHING) for one in contents]
    return tuple(dict.fromkeys(filter(None, found)))


def cost_rows(models: Sequence[ModelPage]) -> tuple[Row, ...]:
    """Return what the runs' models of one family took, all stages together; nothing where no run measured it."""
    if not any(model.costs for model in models):
        return ()
    columns = [dict(_costs(model)) for model in models]
    labels = dict.fromkeys(label for column in columns for label in column)
    rows = (Row(label=label, values=tuple(column.get(label, _NOTHING) for column in columns)) for label in labels)
    return tuple(row for row in rows if any(row.values))


def _costs(model: ModelPage) -> Iterator[tuple[str, str]]:
    if not model.costs:
        return
    for label, seconds in (("Wall hours", "wall_s"), ("Core hours", "core_s"), ("GPU hours", "card_s")):
        yield label, f"{sum(getattr(cost, seconds) for cost in model.costs) / _HOUR_S:.3g}"
    for cost in model.costs:
        yield from _pace(cost)
    yield "Peak memory", size(max(cost.peak_bytes for cost in model.costs))
    cards = [cost.peak_card_bytes for cost in model.costs if cost.peak_card_bytes is not None]
    yield "Peak memory on cards", size(max(cards)) if cards else _NOTHING
    yield "Written", size(sum(cost.written_bytes for cost in model.costs))
    yield "Money", money(model.costs, model.price_per_hour)


def _pace(cost: StageCost) -> Iterator[tuple[str, str]]:
    if cost.images and cost.wall_s:
        yield "Images/s in training", f"{cost.images / cost.wall_s:,.0f}"
    if cost.data_wait is not None:
        yield "Waited for data", f"{100 * cost.data_wait:.1f} %"


def _data(content: PageContent, first: PageContent) -> Iterator[tuple[str, str]]:
    data = content.data
    if data is None:
        return
    yield "Source", data.source
    yield "Digest", data.digest
    yield "Licence", data.licence or "not stated"
    yield "Image size", f"{data.size_px} px"
    before = dict(_counts(first))
    for label, count in _counts(content):
        change = count - before.get(label, 0)
        yield label, f"{count:,}" + (f" ({change:+,})".replace("-", "\N{MINUS SIGN}") if change else "")
    if content.corruption is not None:
        yield "Frozen damage", content.corruption.digest


def _counts(content: PageContent) -> Iterator[tuple[str, int]]:
    data = content.data
    if data is None:
        return
    yield "Images found", data.found
    yield "Images accepted", data.accepted
    yield "Duplicates", data.duplicates
    for reason, count in data.rejected.items():
        yield f"Rejected: {reason}", count
    for split, count in data.splits.items():
        yield f"Split {split}", count


def _differing(columns: Sequence[Mapping[str, str]]) -> tuple[Row, ...]:
    labels = dict.fromkeys(label for column in columns for label in column)
    rows = [Row(label=label, values=tuple(column.get(label, _NOTHING) for column in columns)) for label in labels]
    return tuple(row for row in rows if len(set(row.values)) > 1)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401 - any YAML
    """Yield the single values under their dotted names; lists as one value."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    else:
        yield path, value if isinstance(value, str) else json.dumps(value, default=str)
