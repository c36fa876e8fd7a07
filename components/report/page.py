"""The page of one run."""

from pathlib import Path

from components.report import charts
from components.report.content import CurvePlot, ModelCard, PageContent, Picture, Record
from components.report.index import entry_of
from components.report.rendering import render
from components.report.scores import ScoreRow, score_rows


class Scoreboard(Record):
    """A model's scores as tables and as charts."""

    rows: tuple[ScoreRow, ...]
    fresh: tuple[ScoreRow, ...]
    charts: tuple[Picture, ...]


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


def scoreboard(model: ModelCard) -> Scoreboard:
    """Return a model's tables of scores and an interval chart for each of its charted metrics."""
    rows = score_rows(model.subjects)
    wanted = model.charted or tuple(row.metric for row in rows[:1])
    drawn = [row for row in rows if row.metric in wanted and sum(m is not None for m in row.measures) > 1]
    fresh = score_rows(model.fresh.subjects) if model.fresh else ()
    return Scoreboard(rows=rows, fresh=fresh, charts=tuple(_intervals(model, row) for row in drawn))


def plot_picture(plot: CurvePlot) -> Picture:
    """Return a plot's curves as a picture, with their last values in the alternative text."""
    last = "; ".join(f"{c.name} ends at {c.points[-1][1]:.4g}" for c in plot.curves if c.points)
    under = f", protocol {plot.protocol}" if plot.protocol else ""
    return Picture(
        content=charts.svg(charts.curves(plot.curves, plot.unit, log=plot.log)),
        alt=f"{plot.title} against images seen. {last or 'No values yet'}.",
        caption=f"{plot.title}{', log scale' if plot.log else ''}{under}",
    )


def _intervals(model: ModelCard, row: ScoreRow) -> Picture:
    columns = zip(model.subjects, row.measures, row.cells, strict=True)
    bars = [charts.Bar(s.name, s.role, measure, cell.text) for s, measure, cell in columns if measure and cell]
    spoken = "; ".join(f"{bar.name} {bar.text}" for bar in bars)
    return Picture(
        content=charts.svg(charts.intervals(bars)),
        alt=f"{row.metric}, {row.better} is better: {spoken}.",
    )
