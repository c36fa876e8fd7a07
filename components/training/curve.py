"""Curve: a run's reported values against images seen, as JSON lines beside its checkpoints."""

import json
from collections.abc import Mapping
from pathlib import Path

from components.artifacts import write_atomically

PACE = "images_per_s"
SECONDS = "system/seconds"
"""Length of the interval that the values are of."""
DATA_WAIT = "system/data_wait"
"""Share of it in which a rank waited for its next batch, mean over ranks."""
BUSY_CORES = "system/busy_cores"
"""Processor seconds per second, all ranks together."""
CARDS = "system/graphics_cards"
"""Cards that the ranks held; none on processors alone."""
PEAK_MEMORY = "system/peak_memory_megabytes"
"""The most that each rank has held so far, all ranks together."""
PEAK_CARD_MEMORY = "system/peak_graphics_memory_megabytes"
"""The same on their graphics cards."""


class Curve:
    """Appends points to a file. A resumed run drops the points after its checkpoint and reports them again."""

    def __init__(self, path: Path, images: int) -> None:
        self.path = path
        kept = [point for point in read_curve(path) if point["images"] <= images]
        write_atomically(path, b"".join(_line(point) for point in kept))

    def add(self, values: Mapping[str, float], images: int) -> None:
        """Append one point."""
        with self.path.open("ab") as file:
            file.write(_line({"images": images, **values}))


def read_curve(path: Path) -> list[dict[str, float]]:
    """Return the points in order; a line torn by a kill is left out."""
    if not path.is_file():
        return []
    points = []
    for line in path.read_text(errors="replace").splitlines():
        try:
            points.append(json.loads(line))
        except ValueError:
            continue
    return points


def _line(point: Mapping[str, float]) -> bytes:
    return json.dumps(dict(point)).encode() + b"\n"
