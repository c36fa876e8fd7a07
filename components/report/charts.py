"""Charts: curves over images or hours, and scores with intervals; as SVG that follows light and dark, or as PNG."""

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from components.evaluation.protocol import Score
from components.report.content import Line
from components.report.scores import short_count

Axis = Literal["images", "hours"]
AXES: dict[Axis, str] = {"images": "images seen", "hours": "hours of training"}
"""What is written at each horizontal axis."""
_INK, _MUTED, _LINE, _GOLD = "#2b2a27", "#6a675f", "#dcd8ce", "#a5740a"
_SERIES = (_GOLD, "#3a6ea5", "#a8483a", "#2e857a", "#7a5ca0", "#6f6d68", "#c0608f", "#4f7d2c")
# What each colour of a light page becomes on a dark one.
_DARK = {
    _INK: "#eae6dc",
    _MUTED: "#a8a397",
    _LINE: "#3b3933",
    _GOLD: "#e0b04c",
    "#3a6ea5": "#7fb0e3",
    "#a8483a": "#e58a7a",
    "#2e857a": "#6cc4b8",
    "#7a5ca0": "#b99be0",
    "#6f6d68": "#b3b0a8",
    "#c0608f": "#e79cc0",
    "#4f7d2c": "#a3cf7f",
}
_DASHES: tuple[str | tuple[int, tuple[int, ...]], ...] = ("-", "-", "-", "-", (0, (5, 2)), (0, (2, 2)))
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_SIZE = 9.5


@dataclass(frozen=True)
class Bar:
    """One line of an interval chart: a name, its score, and its part ("model", "champion" or "baseline")."""

    name: str
    role: str
    score: Score
    text: str
    """The value as the table prints it."""


@dataclass(frozen=True)
class VersionMark:
    """One version of a model in a chart over versions."""

    version: int
    value: float
    low: float
    high: float
    is_promoted: bool


def curves(lines: Sequence[Line], unit: str = "", *, log: bool = False, over: Axis = "images") -> Figure:
    """Return the lines over `over`. Values that are not finite, or not positive on a log axis, leave gaps."""
    figure, axes = _axes(width_in=4.5, height_in=2.8)
    for place, line in enumerate(lines):
        images = [x for x, _ in line.points]
        values = [y if math.isfinite(y) and (y > 0 or not log) else math.nan for _, y in line.points]
        axes.plot(
            images,
            values,
            color=_SERIES[place % len(_SERIES)],
            linestyle=_DASHES[place % len(_DASHES)],
            linewidth=1.6,
            marker="o" if len(images) < 15 else None,
            markersize=3.5,
            label=_plain(line.name),
        )
    if log and any(math.isfinite(y) and y > 0 for line in lines for _, y in line.points):
        _log_axis(axes, decades=_decades(lines))
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_count(value)))
    axes.set_xlabel(AXES[over], color=_MUTED, fontsize=_SIZE)
    axes.set_ylabel(_plain(unit), color=_MUTED, fontsize=_SIZE)
    axes.grid(visible=True, axis="y", color=_LINE, linewidth=0.7)
    if len(lines) > 1:
        figure.legend(
            loc="outside upper left", ncols=min(3, len(lines)), frameon=False, fontsize=_SIZE, labelcolor=_INK
        )
    return figure


def intervals(bars: Sequence[Bar]) -> Figure:
    """Return a dot for each score, with a whisker for its interval, first on top.

    Raises:
        ValueError: The scores have different metrics or protocols, so they do not belong on one axis.
    """
    if len({(bar.score.name, bar.score.protocol.digest) for bar in bars}) != 1:
        raise ValueError("an interval chart needs scores of one metric under one protocol")
    figure, axes = _axes(width_in=4.5, height_in=0.75 + 0.3 * len(bars))
    colours = {"model": _GOLD, "champion": _INK}
    for place, bar in enumerate(bars):
        colour, score = colours.get(bar.role, _MUTED), bar.score
        axes.plot([score.low, score.high], [place, place], color=colour, linewidth=2.2, solid_capstyle="butt")
        axes.plot([score.value], [place], "o" if bar.role != "champion" else "D", color=colour, markersize=6.5)
        axes.annotate(
            bar.text, (score.high, place), (7, 0), textcoords="offset points", va="center", color=_INK, fontsize=_SIZE
        )
    axes.set_yticks(range(len(bars)), [_plain(bar.name) for bar in bars], color=_INK)
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.margins(x=0.16)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(visible=True, axis="x", color=_LINE, linewidth=0.7)
    first = bars[0].score
    arrow = "→ higher is better" if first.better == "higher" else "← lower is better"
    axes.set_xlabel(_plain(f"{first.name}   {arrow}"), color=_MUTED, fontsize=_SIZE)
    return figure


def over_versions(
    marks: Sequence[VersionMark], champion: Sequence[tuple[float, float]], metric: str, better: str
) -> Figure:
    """Return a dot with a whisker for each version, and the champion's value as a line of steps.

    Args:
        marks: The versions, all measured alike.
        champion: Pairs (version at which a champion came into service, its value); a value that is not finite leaves
            a gap.
        metric: Name of the score.
        better: Which way is better: "lower" or "higher".
    """
    figure, axes = _axes(width_in=9.5, height_in=2.8)
    _strokes(axes, [(mark.version, mark.low, mark.high) for mark in marks], color=_MUTED, linewidth=1.0)
    legend: list[Line2D] = []
    for is_promoted, label, color, size in ((False, "not promoted", _MUTED, 4.0), (True, "promoted", _GOLD, 5.5)):
        dots = [(mark.version, mark.value, mark.value) for mark in marks if mark.is_promoted is is_promoted]
        _strokes(axes, dots, color=color, linewidth=size)
        legend.append(Line2D([], [], linestyle="none", marker="o", markersize=size, color=color, label=label))
    if champion:
        since, heights = [place for place, _ in champion], [value for _, value in champion]
        legend += axes.step(since, heights, where="post", color=_INK, linewidth=1.4, label="champion")
    axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(visible=True, axis="y", color=_LINE, linewidth=0.7)
    axes.set_xlabel("version", color=_MUTED, fontsize=_SIZE)
    axes.set_ylabel(_plain(f"{metric} {'↑' if better == 'higher' else '↓'}"), color=_MUTED, fontsize=_SIZE)
    figure.legend(handles=legend, loc="outside upper left", ncols=3, frameon=False, fontsize=_SIZE, labelcolor=_INK)
    return figure


def svg(figure: Figure) -> bytes:
    """Return a chart as an SVG file whose ink turns light where the reader prefers dark; equal charts, equal bytes."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "kintsugi"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace("'DejaVu Sans'", _FONT.replace('"', "'"))
    text = re.sub(r"font: ([\d.]+px) [^;\"]+", rf"font: \1 {_FONT}", text)
    for colour in _DARK:
        text = text.replace(colour, f"var(--c{colour[1:]})")
    return text.replace("<defs>", f"{_style()}<defs>", 1).encode()


def png(figure: Figure) -> bytes:
    """Return a chart as a PNG file on white, for places that show no SVG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=144, facecolor="white", pil_kwargs={"optimize": True})
    return buffer.getvalue()


def _axes(width_in: float, height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width_in, height_in), layout="constrained", facecolor="none")
    axes = figure.add_subplot(facecolor="none")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_LINE)
    axes.tick_params(colors=_MUTED, labelsize=_SIZE, color=_LINE)
    return figure, axes


def _strokes(axes: Axes, strokes: Sequence[tuple[float, float, float]], *, color: str, linewidth: float) -> None:
    """Draw upright strokes with round ends, of no length as dots, as one path: a browser feels a thousand elements.

    Args:
        axes: Where.
        strokes: Of each its place and its two ends.
        color: Of all.
        linewidth: In points.
    """
    places = [one for place, _, _ in strokes for one in (place, place, math.nan)]
    heights = [one for _, low, high in strokes for one in (low, high, math.nan)]
    with mpl.rc_context({"path.simplify": False}):  # which leaves out what has no length
        axes.plot(places, heights, color=color, linewidth=linewidth, solid_capstyle="round", zorder=3)


def _plain(text: str) -> str:
    """Return a name as matplotlib must be given it to print it as it is: no formulas, no hidden legend entries."""
    return text.replace("$", r"\$").lstrip("_")


def _log_axis(axes: Axes, decades: float) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2 else (1.0,), numticks=8))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="minor", length=0)


def _decades(lines: Sequence[Line]) -> float:
    values = [y for line in lines for _, y in line.points if math.isfinite(y) and y > 0]
    return math.log10(max(values) / min(values))


def _style() -> str:
    light = "".join(f"--c{colour[1:]}:{colour};" for colour in _DARK)
    dark = "".join(f"--c{colour[1:]}:{other};" for colour, other in _DARK.items())
    return f"<style>:root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}</style>"
