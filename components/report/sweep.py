"""The page of a sweep: its trials ranked, the best as it is set, scores over images seen, and what other seeds say."""

import json
import shlex
from pathlib import Path
from typing import Any

import yaml
from pydantic import AwareDatetime, Field

from components.report.content import CurvePlot, Line
from components.report.page import plot_picture
from components.report.record import Picture, Record
from components.report.rendering import render
from components.report.scores import number

_DRAWN = 8  # as many as there are colours
_UNSWEPT = "as it is"


class TrialRow(Record):
    """One trial."""

    rank: int = Field(ge=1)
    trial: int = Field(ge=0)
    """Its number; 0 is the configuration without the sweep."""
    values: dict[str, Any]
    """What it had where the sweep searched, by path below the model."""
    scores: tuple[float | None, ...]
    """At each rung that it came to; lower is better, None where it failed."""
    images: int
    """Images seen."""
    reason: str = ""
    """Why it failed; empty for one that did not."""
    curve: tuple[tuple[int, float], ...] = ()
    """Pairs (images seen, score)."""

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.trial} ({_UNSWEPT})" if self.trial == 0 else str(self.trial)

    @property
    def words(self) -> dict[str, str]:
        """Its values as a person would write them, by path."""
        return {path: json.dumps(value, ensure_ascii=False).strip('"') for path, value in self.values.items()}


class Judged(Record):
    """What the gate's score said of a trial that was trained with a seed that had no part in the choice."""

    trial: int
    seed: int
    metric: str
    better: str
    value: float
    low: float
    high: float


class SweepContent(Record):
    """All that a page says of a sweep."""

    run: str
    """Name of the run's configuration."""
    model: str
    digest: str
    data: str
    """Which data the trials learnt from."""
    metric: str
    """What the trials are ranked by; lower is better."""
    places: tuple[int, ...]
    """Images seen at each rung."""
    reduction: int
    trials: tuple[TrialRow, ...]
    """Best first."""
    best: int | None
    """The best trial; None while the sweep is not finished, and where none was trained to the end."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """What makes the run's file that of the best trial, by path; empty where there is none, or nothing to set."""
    overrides: tuple[str, ...] = ()
    """The same as `--set` takes it, an argument each."""
    export: str | None = None
    """Digest of the best trial's model; None likewise."""
    judged: tuple[Judged, ...] = ()
    hours: dict[int, float] = Field(default_factory=dict)
    """Hours of training, by trial."""
    written: AwareDatetime

    @property
    def best_row(self) -> TrialRow | None:
        """The best trial."""
        return next((row for row in self.trials if row.trial == self.best), None)

    @property
    def arguments(self) -> str:
        """The same as a person copies it into a shell."""
        return " ".join(f"--set {shlex.quote(one)}" for one in self.overrides)

    @property
    def fragment(self) -> str:
        """The best trial's values as a part of the run's file."""
        content: dict[str, Any] = {}
        for path, value in self.settings.items():
            node, (*parents, last) = content, path.split(".")
            for key in parents:
                node = node.setdefault(key, {})
            node[last] = value
        return yaml.safe_dump(content, sort_keys=False)


def write_sweep(content: SweepContent, path: Path) -> Path:
    """Write one self-contained HTML file that shows `content`, whole or not at all, and return its path."""
    values = {
        "content": content,
        "title": f"Sweep of {content.run}-{content.model}",
        "paths": list(content.trials[0].values) if content.trials else [],
        "chart": _chart(content),
        "verdict": verdict(content),
    }
    return render("sweep.html.jinja", values, path)


def verdict(content: SweepContent) -> str:
    """Return what came out, in a sentence."""
    best, unswept = content.best_row, next((row for row in content.trials if row.trial == 0), None)
    if best is None:
        failed = sum(bool(row.reason) for row in content.trials)
        return f"No trial was trained to the end yet; {failed} of {len(content.trials)} have failed."
    score = number(best.scores[-1] or 0.0)
    if best.trial == 0:
        return f"The configuration as it is came out best: {content.metric} {score}."
    beside = ""
    if unswept is not None and unswept.scores and unswept.scores[-1] is not None:
        place = content.places[len(unswept.scores) - 1]
        then = number(best.scores[len(unswept.scores) - 1] or 0.0)
        beside = f" At {place:,} images it had {then}, the configuration as it is {number(unswept.scores[-1])}."
    return f"Trial {best.trial} came out best: {content.metric} {score}.{beside}"


def _chart(content: SweepContent) -> Picture | None:
    """Return the curves of the best trials, and of the configuration as it is."""
    shown = [row for place, row in enumerate(content.trials) if (place < _DRAWN or row.trial == 0) and row.curve]
    lines = tuple(Line(name=f"trial {row.name}", points=row.curve) for row in shown)
    if not lines:
        return None
    is_positive = all(score > 0 for line in lines for _, score in line.points)  # a kernel distance may be below 0
    return plot_picture(CurvePlot(title=f"{content.metric}, lower is better", curves=lines, log=is_positive))
