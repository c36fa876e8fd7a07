"""The page of one run."""

from pathlib import Path

from components.evaluation.protocol import Protocol
from components.report import charts
from components.report.content import CurvePlot, ModelPage, PageContent, Picture, Record
from components.report.index import entry_of
from components.report.rendering import render
from components.report.scores import ScoreRow, protocols_of, score_rows


class Scoreboard(Record):
    """A model's scores as tables and as charts."""

    deciding: ScoreRow | None
    """The row of the score that the gate goes by; None where nothing was scored."""
    rows: tuple[ScoreRow, ...]
    fresh: tuple[ScoreRow, ...]
    charts: tuple[Picture, ...]
    protocols: tuple[Protocol, ...]
    """How the numbers were measured."""


def write_page(content: PageContent, path: Path) -> Path:
    """Write one self-contained HTML file that shows `content`, whole or not at all, and return its path.

    Raises:
        ValueError: The content contradicts itself: two columns disagree on which way a metric is better, a picture is
            not an image file.
    """
    values = {
        "content": content,
        "title": content.run.name,
        "entry": entry_of(content, path.name).model_dump_json(),
        "boards": {model.name: scoreboard(model) for model in content.models},
        "plots": {model.name: [plot_picture(plot) for plot in model.plots] for model in content.models},
    }
    return render("page.html.jinja", values, path)


def scoreboard(model: ModelPage) -> Scoreboard:
    """Return a model's tables of scores and an interval chart for each of its charted metrics."""
    rows = score_rows(model.subjects)
    wanted = model.charted or tuple(row.metric for row in rows[:1])
    drawn = [row for row in rows if row.metric in wanted and sum(score is not None for score in row.scores) > 1]
    return Scoreboard(
        deciding=next((row for row in rows if row.metric in wanted), None),
        rows=rows,
        fresh=score_rows(model.fresh.subjects) if model.fresh else (),
        charts=tuple(_intervals(model, row) for row in drawn),
        protocols=tuple(protocols_of(model.all_subjects).values()),
    )


def plot_picture(plot: CurvePlot, over: charts.Axis = "images") -> Picture:
    """Return a plot's curves as a picture, with their last values in the alternative text.

    Args:
        plot: The curves.
        over: What the first number of their points is: images seen, or hours of training.
    """
    last = "; ".join(f"{c.name} ends at {c.points[-1][1]:.4g}" for c in plot.curves if c.points)
    under = f", protocol {plot.protocol}" if plot.protocol else ""
    return Picture(
        content=charts.svg(charts.curves(plot.curves, plot.unit, log=plot.log, over=over)),
        alt=f"{plot.title} against {charts.AXES[over]}. {last or 'No values yet'}.",
        caption=f"{plot.title}{', log scale' if plot.log else ''}{under}",
    )


def _intervals(model: ModelPage, row: ScoreRow) -> Picture:
    columns = zip(model.subjects, row.scores, row.cells, strict=True)
    bars = [charts.Bar(one.name, one.role, score, cell.text) for one, score, cell in columns if score and cell]
    spoken = "; ".join(f"{bar.name} {bar.text}" for bar in bars)
    return Picture(
        content=charts.svg(charts.intervals(bars)),
        alt=f"{row.metric}, {row.better} is better: {spoken}.",
    )
