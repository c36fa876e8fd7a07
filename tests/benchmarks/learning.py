"""Evidence of learning: from a finished run's page.json to a table of scores and pictures of its learning curves.

`python tests/benchmarks/learning.py WORKSPACE/store/page/DIGEST/page.json --name cifar10_2cores_202611` writes
`results/NAME.md`, with room for what only a person knows, and `results/NAME-MODEL.png` for each model.
"""

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from components.artifacts import write_atomically
from components.report import charts
from components.report.content import CurvePlot, ModelPage, PageContent, Subject
from components.report.older import read_content
from components.report.scores import score_rows

RESULTS = Path(__file__).parent / "results"
_SHOWN = ("loss", "hole error", "reconstruction error", "kernel distance", "images per s")
_FACTS = ("Images seen", "Batch", "Processes", "Arithmetic")
_MACHINE = tuple(f"kintsugi.env.{name}" for name in ("commit", "cores", "graphics_cards", "memory", "python", "torch"))


def report(content: PageContent, name: str) -> str:
    """Return what the run learnt, as Markdown."""
    environment = ", ".join(
        f"{fact.label.removeprefix('kintsugi.env.')} {fact.value}"
        for fact in content.run.environment
        if fact.label in _MACHINE
    )
    parts = [
        f"# {content.run.name}, {content.run.finished:%Y-%m-%d}",
        f"`{content.run.command}`\n\n{environment}.",
        *(_chapter(model, name) for model in content.models),
    ]
    return "\n\n".join(parts) + "\n"


def _chapter(model: ModelPage, name: str) -> str:
    facts = "; ".join(f"{fact.label.lower()} {fact.value}" for fact in model.facts if fact.label in _FACTS)
    verdict = f" The gate says {model.decision.verdict}: {'; '.join(model.decision.reasons)}." if model.decision else ""
    rows = [f"## {model.name}", f"{facts}.{verdict}", _table(model.subjects)]
    return "\n\n".join([*rows, f"![learning curves of {model.name}]({name}-{model.name}.png)"])


def _table(subjects: Sequence[Subject]) -> str:
    lines = ["| score | " + " | ".join(subject.name for subject in subjects) + " |", "|---" * (len(subjects) + 1) + "|"]
    for row in score_rows(subjects):
        if not row.is_detail:
            cells = [cell.text if cell else "" for cell in row.cells]
            lines.append(f"| {row.metric} ({row.better} is better) | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def curves(plots: Sequence[CurvePlot]) -> bytes:
    """Return the plots that show learning, side by side, as one PNG file."""
    chosen = sorted((plot for plot in plots if plot.title in _SHOWN), key=lambda plot: _SHOWN.index(plot.title))
    pictures = [Image.open(io.BytesIO(charts.png(_figure(plot)))).convert("RGB") for plot in chosen]
    size = sum(picture.width for picture in pictures), max(picture.height for picture in pictures)
    sheet, left = Image.new("RGB", size, "white"), 0
    for picture in pictures:
        sheet.paste(picture, (left, 0))
        left += picture.width
    buffer = io.BytesIO()
    sheet.quantize(64).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _figure(plot: CurvePlot) -> charts.Figure:
    return charts.curves(plot.curves, plot.title, log=plot.log)


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path, help="page.json of the run")
    parser.add_argument("--name", required=True, help="WHAT_HARDWARE_YYYYMM")
    options = parser.parse_args()
    content = read_content(options.page.read_bytes())
    write_atomically(RESULTS / f"{options.name}.md", report(content, options.name).encode())
    for model in content.models:
        write_atomically(RESULTS / f"{options.name}-{model.name}.png", curves(model.plots))


if __name__ == "__main__":
    main()
