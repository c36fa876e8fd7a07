"""From the arrays of a restoration to the views that people compare: truth, corrupted, restored, composite, error."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from components.pictures.figures import Pixels, compressed, difference
from components.report.content import PanelRow, Panels, Picture


def composite(corrupted: Pixels, restored: Pixels, missing: NDArray[np.bool_]) -> Pixels:
    """Return what the reader would use: known pixels as they came, missing ones as restored.

    Args:
        corrupted: Shape (n, height, width, 3).
        restored: The model's whole output, same shape.
        missing: Shape (n, height, width), True where missing.
    """
    return np.where(missing[..., None], restored, corrupted)


def views(
    truth: Pixels, corrupted: Pixels, restored: Pixels, missing: NDArray[np.bool_], gain: int = 4
) -> list[tuple[str, Pixels]]:
    """Return the five views with their headings; the last is the composite's absolute error times `gain`."""
    mended = composite(corrupted, restored, missing)
    return [
        ("Truth", truth),
        ("Corrupted", corrupted),
        ("Restored", restored),
        ("Composite", mended),
        (f"Error ×{gain}", difference(truth, mended, gain)),
    ]


def panels_of(sides: Sequence[tuple[str, Pixels]], labels: Sequence[str], caption: str = "") -> Panels:
    """Return the page's table of `sides`, pairs of heading and images (n, height, width, 3), one label a row.

    The compare slider sets the second view against the fourth, as `views` orders them, or the second against the last.

    Raises:
        ValueError: There is not one label for each image.
    """
    counts = {name: len(images) for name, images in sides}
    if set(counts.values()) != {len(labels)}:
        raise ValueError(f"panels need one label for each image, found {len(labels)} labels for {counts}")
    rows = tuple(
        PanelRow(
            label=label,
            pictures=tuple(
                Picture(content=compressed(images[place], 60_000), alt=f"{name}, {label}") for name, images in sides
            ),
        )
        for place, label in enumerate(labels)
    )
    after = min(3, len(sides) - 1)
    return Panels(columns=tuple(counts), rows=rows, before=1, after=after, caption=caption)
