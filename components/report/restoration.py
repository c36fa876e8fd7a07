"""From the arrays of a restoration to the panels of a page: views of the same samples, side by side."""

from collections.abc import Sequence

from components.pictures.figures import Pictures, encode_within
from components.report.content import PanelRow, Panels, Picture


def panels_of(sides: Sequence[tuple[str, Pictures]], labels: Sequence[str], caption: str = "") -> Panels:
    """Return the page's table of `sides`, pairs of heading and images (n, height, width, 3), one label a row.

    The compare slider sets the second view against the fourth, or the second against the last.

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
                Picture(content=encode_within(images[place], 60_000), alt=f"{name}, {label}") for name, images in sides
            ),
        )
        for place, label in enumerate(labels)
    )
    after = min(3, len(sides) - 1)
    return Panels(columns=tuple(counts), rows=rows, before=1, after=after, caption=caption)
