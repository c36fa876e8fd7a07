"""What commands print on standard output: lines, and plain aligned tables that scripts can still read."""

import sys
from collections.abc import Sequence


def say(text: str) -> None:
    """Print one text to standard output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows under heads, columns aligned by spaces."""
    lines = [list(heads), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
