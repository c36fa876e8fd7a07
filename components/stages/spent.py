"""Spent: what the stages of one model took: hours, memory, bytes; shown by the page, kept by MLflow."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from components.report.costs import StageCost
from components.stages.candidate import Checkpoint, Evaluated, Scores
from components.training.curve import (
    BUSY_CORES,
    CARDS,
    DATA_WAIT,
    PEAK_CARD_MEMORY,
    PEAK_MEMORY,
    SECONDS,
    read_curve,
)
from components.worker.jobs import COST

_HOUR_S = 3600


def costs_of(checkpoint: Checkpoint, evaluated: Evaluated) -> Iterator[StageCost]:
    """Yield what the stages of a model took, as far as it was measured."""
    stages = (
        training_cost(checkpoint.path, checkpoint.images),
        measuring_cost("evaluate", evaluated.scores),
        measuring_cost("baselines", evaluated.baselines),
        measuring_cost("evaluate on today's data", evaluated.fresh) if evaluated.fresh else None,
    )
    yield from (cost for cost in stages if cost is not None)


def training_cost(folder: Path, images: int) -> StageCost | None:
    """Return what a training took, from the curve that it left; None for one from before that was measured.

    Args:
        folder: All that it left.
        images: Images seen.
    """
    points = read_curve(folder / "curve.jsonl")
    cost = _summed("train", points, folder)
    return cost and cost.model_copy(update={"images": images, "data_wait": _share_waited(points)})


def clock_of(points: Iterable[Mapping[str, float]]) -> Iterator[tuple[float, float]]:
    """Yield images seen and the hours of training by then, from a curve; nothing of one from before time was kept."""
    seconds = 0.0
    for point in points:
        if SECONDS in point:
            seconds += point[SECONDS]
            yield point["images"], seconds / _HOUR_S


def measuring_cost(stage: str, scores: Scores) -> StageCost | None:
    """Return what it took to measure scores; None where that was not measured."""
    path = scores.path / COST
    return _summed(stage, [json.loads(path.read_text())], scores.path) if path.is_file() else None


def cost_metrics(cost: StageCost) -> dict[str, float]:
    """Return a cost as MLflow shows it beside the machine's load, hours in hours and memory in megabytes."""
    told = {
        "wall_hours": cost.wall_s / _HOUR_S,
        "core_hours": cost.core_s / _HOUR_S,
        "gpu_hours": cost.card_s / _HOUR_S,
        "images_per_s": cost.images / cost.wall_s if cost.images and cost.wall_s else None,
        "data_wait": cost.data_wait,
        "peak_memory_megabytes": cost.peak_bytes / 1e6,
        "peak_graphics_memory_megabytes": cost.peak_card_bytes and cost.peak_card_bytes / 1e6,
        "written_megabytes": cost.written_bytes / 1e6,
    }
    stage = cost.stage.partition(" ")[0]
    return {f"system/{stage}_{name}": value for name, value in told.items() if value is not None}


def _summed(stage: str, points: Sequence[Mapping[str, float]], folder: Path) -> StageCost | None:
    """Return the sum over intervals; each point holds one interval's length and what was busy in it."""
    measured = [point for point in points if SECONDS in point]
    if not measured:
        return None
    peaks_on_cards = [point[PEAK_CARD_MEMORY] * 1e6 for point in measured if PEAK_CARD_MEMORY in point]
    return StageCost(
        stage=stage,
        wall_s=sum(point[SECONDS] for point in measured),
        core_s=sum(point[SECONDS] * point[BUSY_CORES] for point in measured),
        card_s=sum(point[SECONDS] * point[CARDS] for point in measured),
        peak_bytes=max(point[PEAK_MEMORY] * 1e6 for point in measured),
        peak_card_bytes=max(peaks_on_cards, default=None),
        written_bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    )


def _share_waited(points: Sequence[Mapping[str, float]]) -> float:
    measured = [point for point in points if SECONDS in point]
    return sum(point[SECONDS] * point[DATA_WAIT] for point in measured) / sum(point[SECONDS] for point in measured)
