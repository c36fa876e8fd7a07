"""Showing: what a run leaves in the Prefect UI: tables of scores, decisions, the page and a picture."""

import base64
import re

from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from components.evaluation.protocol import ScoreTable
from components.stages.promotion import Promotion
from components.stages.publishing import Page

_LARGEST_PICTURE_BYTES = 200_000


def show_scores(run: str, model: str, table: ScoreTable) -> None:
    """Keep the table: one row per metric, a column for the model and each baseline."""
    names = [score.name for score in table.rows["model"]]
    rows = [
        {"metric": name, **{row: _number(table, row, name) for row in table.rows}} for name in names if "/" not in name
    ]
    create_table_artifact(rows, key=_key(run, model, "scores"), description=f"Scores of {model} in run {run}")


def show_promotion(promotion: Promotion) -> None:
    """Keep the decision with its reasons."""
    lines = [f"## {promotion.model}: {promotion.verdict}", *(f"- {reason}" for reason in promotion.reasons)]
    create_markdown_artifact("\n".join(lines), key=_key(promotion.model, "decision"))


def show_page(run: str, page: Page) -> None:
    """Keep a link to the page and a small picture of what the run made."""
    create_link_artifact(
        (page.path / "page.html").absolute().as_uri(), key=_key(run, "page"), link_text=f"Page of {run}"
    )
    for picture in sorted((page.path / "pictures").glob("*.png")):
        content = picture.read_bytes()
        if len(content) <= _LARGEST_PICTURE_BYTES:
            text = base64.b64encode(content).decode()
            create_image_artifact(
                f"data:image/png;base64,{text}", key=_key(run, picture.stem), description=picture.stem
            )


def _number(table: ScoreTable, row: str, name: str) -> str:
    score = table.find(row, name)
    return "" if score is None else f"{score.value:.4g} [{score.low:.4g}, {score.high:.4g}]"


def _key(*parts: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")
