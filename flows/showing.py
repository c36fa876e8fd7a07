"""Showing: what a run leaves in the Prefect UI: tables of scores, decisions, its page, a picture; its end in words."""

import base64
import logging
import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.states import Completed

from components.evaluation.protocol import MODEL_ROW, ScoreTable
from components.report.sweep import SweepContent, TrialRow, verdict
from components.stages.candidate import Candidate, after
from components.stages.outcome import Page, Skipped, page_url
from components.stages.rescore import Rescored
from components.stages.rival import comparison_command, comparison_url
from flows.reaching import reach
from flows.turn import SKIPPED

if TYPE_CHECKING:
    from components.stages.shift import DataShift  # which brings OpenCV and a network's code to every run's start

_LARGEST_PICTURE_BYTES = 200_000
_log = logging.getLogger(__name__)


def show_scores(run: str, candidate: Candidate) -> None:
    """Keep a table of one model: one row per metric, a column for the model and each baseline."""
    table, key = after("evaluate", candidate.evaluated).table, _key(run, candidate.name, "scores")
    names = [score.name for score in table.rows[MODEL_ROW]]
    rows = [
        {"metric": name, **{row: _number(table, row, name) for row in table.rows}} for name in names if "/" not in name
    ]
    said = f"Scores of {candidate.name} in run {run}"
    reach(partial(create_table_artifact, rows, key, said), "to show scores")


def show_promotion(candidate: Candidate) -> None:
    """Keep what was decided about one model, with the reasons."""
    promotion = after("promote", candidate.promotion)
    _log.info("%s version %d: %s: %s", promotion.model, promotion.version, promotion.verdict, promotion.reasons[0])
    lines = [f"## {promotion.model}: {promotion.verdict}", *(f"- {reason}" for reason in promotion.reasons)]
    lines += [f"- to answer: `{answer}`" for answer in promotion.answers]
    text, key = "\n".join(lines), _key(promotion.model, "decision")
    said = f"version {promotion.version}: {promotion.verdict}. {promotion.reasons[0]}"  # what lists of artifacts show
    reach(partial(create_markdown_artifact, text, key, said), "to show a decision")


def show_skipped(run: str, why: str) -> Skipped:
    """Keep why a night was skipped, and return what ends the flow run in the state that says so."""
    _log.info("%s: skipped: %s", run, why)
    text = f"## {run}: skipped\n- {why}"
    reach(partial(create_markdown_artifact, text, _key(run, "skipped"), why), "to show a skip")
    # Prefect takes a state that a flow returns for the run's own, and hands its data to whoever called the flow.
    return cast("Skipped", Completed(name=SKIPPED, message=why, data=Skipped(why)))


def show_rescored(run: str, scored: Iterable[Rescored]) -> None:
    """Keep what each champion scored when it was promoted and scores today."""
    rows = [
        {"model": f"{one.model} {one.version}", "metric": one.metric, "then": one.then[0], "now": one.now[0]}
        | {"verdict": one.verdict, "why": one.reasons[0]}
        for one in scored
    ]
    reach(partial(create_table_artifact, rows, _key(run, "rescored")), "to show scores")


def show_shifts(run: str, found: "Iterable[tuple[DataShift, tuple[str, ...]]]") -> None:
    """Keep how new images compare with those that champions learnt from."""
    rows = [
        {"models": ", ".join(models), "new images": one.new_images, "verdict": one.shift.verdict}
        | {"why": "; ".join(one.shift.reasons)}
        for one, models in found
    ]
    reach(partial(create_table_artifact, rows, _key(run, "drift")), "to show how images compare")


def show_sweep(content: SweepContent, page: Path) -> None:
    """Keep a table of a sweep's trials, and a link to its page."""
    rows = [{"rank": row.rank, "trial": row.name, **row.words, **_at_rungs(row, content)} for row in content.trials]
    run = f"{content.run}-{content.model}"
    reach(partial(create_table_artifact, rows, _key(run, "sweep"), verdict(content)), "to show trials")
    link = partial(create_link_artifact, page.as_uri(), f"Page of the sweep of {run}", _key(run, "sweep-page"))
    reach(link, "to link the page")


def _at_rungs(row: TrialRow, content: SweepContent) -> dict[str, str]:
    scores = zip(content.places, row.scores, strict=False)
    return {f"at {place:,}": "failed" if score is None else f"{score:.4g}" for place, score in scores}


def show_page(run: str, page: Page, rival: str | None) -> None:
    """Keep a link to the page, a way to see it beside an earlier run, and a small picture of what the run made.

    Args:
        run: Name of the run.
        page: Its page.
        rival: What the earlier run's page is called; None where there is none.
    """
    address = page_url(page) or (page.path / "page.html").absolute().as_uri()
    _log.info("page: %s", address)
    reach(partial(create_link_artifact, address, f"Page of {run}", _key(run, "page")), "to link the page")
    if rival is not None:
        _show_beside(run, page, rival)
    for picture in sorted((page.path / "pictures").glob("*.png")):
        content = picture.read_bytes()
        if len(content) <= _LARGEST_PICTURE_BYTES:
            data = f"data:image/png;base64,{base64.b64encode(content).decode()}"
            key, name = _key(run, picture.stem), picture.stem
            reach(partial(create_image_artifact, data, key, name), "to show a picture")


def _show_beside(run: str, page: Page, rival: str) -> None:
    key, said = _key(run, "beside"), f"{page.label} beside {rival}"
    url = comparison_url(page, rival)
    text = f"[{said}]({url})" if url else f"{said}: `{comparison_command(page, rival)}`"
    reach(partial(create_markdown_artifact, text, key, said), "to link a comparison")


def _number(table: ScoreTable, row: str, name: str) -> str:
    score = table.find(row, name)
    return "" if score is None else f"{score.value:.4g} [{score.low:.4g}, {score.high:.4g}]"


def _key(*parts: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")
