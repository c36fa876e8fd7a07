"""The page that sets runs side by side: scores and their differences, curves, the same pictures in columns, cost."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from components.evaluation.protocol import Protocol
from components.report.boards import Board, boards_of
from components.report.content import (
    CurvePlot,
    Line,
    Link,
    ModelPage,
    PageContent,
    PanelRow,
    Panels,
    Picture,
    Record,
)
from components.report.differences import (
    ApartRow,
    Row,
    configuration_rows,
    cost_rows,
    data_rows,
    environment_rows,
    scores_apart,
    seeds,
)
from components.report.page import plot_picture
from components.report.rendering import render, utc
from components.report.scores import protocols_of


class RunColumn(Record):
    """One run of a comparison: its content and, if it has one, the way to its own page."""

    content: PageContent
    page: Link | None = None


class RunSamples(Record):
    """A run's pictures."""

    run: str
    pictures: tuple[Picture, ...]


class Measured(Record):
    """Scores of runs on one set of held-out images."""

    board: Board
    runs: tuple[str, ...]
    """Those that were measured on it; the first is what the others are set against."""
    apart: tuple[ApartRow, ...]


class Family(Record):
    """All that the comparison says of one model family, over the runs that trained it."""

    name: str
    runs: tuple[str, ...]
    """Those that trained it."""
    measured: tuple[Measured, ...]
    protocols: tuple[Protocol, ...]
    plots: tuple[Picture, ...]
    """Curves over images seen."""
    timed: tuple[Picture, ...]
    """Curves over hours of training, of runs that kept them."""
    samples: tuple[RunSamples, ...]
    panels: Panels | None
    costs: tuple[Row, ...]


def write_comparison(columns: Sequence[RunColumn], path: Path) -> Path:
    """Write one self-contained HTML file that sets the runs side by side, in the order given, and return its path.

    Only numbers with equal protocols share a row, and only curves with equal protocols share axes; held-out pictures
    are set side by side only where truth and corruption are the same bytes in every run.

    Raises:
        ValueError: Fewer than two runs are given.
    """
    if len(columns) < 2:
        raise ValueError(f"a comparison needs at least two runs, found {len(columns)}")
    titles = _distinct([column.content for column in columns])
    runs = dict(zip(titles, columns, strict=True))
    names = dict.fromkeys(model.name for column in columns for model in column.content.models)
    contents = [column.content for column in columns]
    values = {
        "runs": runs,
        "families": [_family(name, _models_of(name, runs)) for name in names],
        "configuration": configuration_rows(contents),
        "data": data_rows(contents),
        "environment": environment_rows(contents),
        "seeds": seeds(contents),
        "title": "Runs side by side",
    }
    return render("comparison.html.jinja", values, path)


def _distinct(contents: Sequence[PageContent]) -> list[str]:
    """Return the runs' names, told apart where they are equal by config, then by when they ended, then by place."""
    known = [
        (
            content.run.name,
            f"{content.run.name} ({content.run.config_digest[:7]})",
            f"{content.run.name}, {utc(content.run.finished)}",
            f"{content.run.name} #{place}",
        )
        for place, content in enumerate(contents, start=1)
    ]
    taken = [Counter(names) for names in zip(*known, strict=True)]
    return [next(name for name, count in zip(names, taken, strict=True) if count[name] == 1) for names in known]


def _models_of(name: str, runs: Mapping[str, RunColumn]) -> dict[str, ModelPage]:
    return {run: model for run, column in runs.items() for model in column.content.models if model.name == name}


def _family(name: str, models: Mapping[str, ModelPage]) -> Family:
    protocols = {digest: one for model in models.values() for digest, one in protocols_of(model.all_subjects).items()}
    plots = _overlaid(models)
    return Family(
        name=name,
        runs=tuple(models),
        measured=tuple(_measured(board) for board in boards_of(models)),
        protocols=tuple(protocols.values()),
        plots=tuple(plot_picture(plot) for plot in plots),
        timed=tuple(plot_picture(timed, over="hours") for plot in plots if (timed := _over_hours(plot, models))),
        samples=tuple(RunSamples(run=run, pictures=model.samples) for run, model in models.items() if model.samples),
        panels=_shared_panels(models),
        costs=cost_rows(list(models.values())),
    )


def _measured(board: Board) -> Measured:
    runs = tuple(subject.name for subject in board.subjects if subject.role == "model")
    return Measured(board=board, runs=runs, apart=scores_apart(board.rows, len(runs)))


def _over_hours(plot: CurvePlot, models: Mapping[str, ModelPage]) -> CurvePlot | None:
    """Return a plot with hours of training in place of images seen, of the runs that kept the time."""
    lines = []
    for line in plot.curves:
        if clock := models[line.name].clock:
            images, hours = zip((0.0, 0.0), *clock, strict=True)
            at = np.interp([place for place, _ in line.points], images, hours).tolist()
            values = [value for _, value in line.points]
            lines.append(Line(name=line.name, points=tuple(zip(at, values, strict=True))))
    return plot.model_copy(update={"curves": tuple(lines)}) if lines else None


def _overlaid(models: Mapping[str, ModelPage]) -> list[CurvePlot]:
    """Return a plot for each curve of each equally named, equally measured plot, with a line for each run."""
    plots: dict[tuple[str, str, str | None], CurvePlot] = {}
    for run, model in models.items():
        for plot in model.plots:
            for curve in plot.curves:
                key = (plot.title, curve.name, plot.protocol)
                lines = plots[key].curves if key in plots else ()
                title = (
                    plot.title
                    if curve.name.replace("_", " ") == plot.title.replace("_", " ")
                    else f"{plot.title}: {curve.name}"
                )
                line = Line(name=run, points=curve.points)
                plots[key] = plot.model_copy(update={"title": title, "curves": (*lines, line)})
    return list(plots.values())


def _shared_panels(models: Mapping[str, ModelPage]) -> Panels | None:
    """Return truth, corruption and each run's result of the samples that all runs show; None if there are none."""
    tables = {run: model.panels for run, model in models.items() if model.panels is not None}
    if len(tables) < 2:
        return None
    by_row = {run: {(row.label, *_given(row, table)): row for row in table.rows} for run, table in tables.items()}
    first = next(iter(by_row.values()))
    shared = [key for key in first if all(key in rows for rows in by_row.values())]
    rows = tuple(
        PanelRow(
            label=key[0],
            pictures=(
                *first[key].pictures[:2],
                *(rows[key].pictures[tables[run].after] for run, rows in by_row.items()),
            ),
        )
        for key in shared
    )
    heads = next(iter(tables.values())).columns[:2]
    return Panels(columns=(*heads, *tables), rows=rows, before=2, after=3) if rows else None


def _given(row: PanelRow, table: Panels) -> tuple[bytes, bytes]:
    return row.pictures[0].content, row.pictures[table.before].content
