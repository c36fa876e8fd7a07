"""Collected: rows of one dtype gathered one by one, in blocks, so that a million of them are not a million objects."""

from typing import Any

import numpy as np
from jaxtyping import Shaped

_ROWS_PER_BLOCK = 4096


class Collected:
    """Rows of a structured array that is not yet known to be how long."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._blocks: list[Shaped[np.ndarray, " rows"]] = []
        self._open: list[tuple[Any, ...]] = []

    def add(self, *values: object) -> None:
        """Append one row, its fields in order."""
        self._open.append(values)
        if len(self._open) == _ROWS_PER_BLOCK:
            self._close()

    def all(self) -> Shaped[np.ndarray, " rows"]:
        """Return all rows in the order in which they came."""
        self._close()
        return np.concatenate([np.empty(0, self._dtype), *self._blocks])

    def _close(self) -> None:
        self._blocks.append(np.array(self._open, self._dtype))
        self._open = []
