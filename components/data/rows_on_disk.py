"""Rows on disk: `.npy` files written and read some rows at a time, and searched without being held."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, Shaped

AT_ONCE = 8192
"""Rows held at a time."""
Rows = Shaped[np.ndarray, " rows"]


def write_rows(path: Path, dtype: np.dtype[Any], count: int, blocks: Iterable[Rows]) -> None:
    """Write what `np.save` would write of all blocks together.

    Args:
        path: The file.
        dtype: Of the rows.
        count: How many they are in all.
        blocks: The rows, some at a time, each of `dtype`.

    Raises:
        ValueError: They are not `count`.
    """
    written = 0
    with path.open("wb") as file:
        facts = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (count,)}
        np.lib.format.write_array_header_1_0(file, facts)
        for block in blocks:
            file.write(block.tobytes())
            written += len(block)
    if written != count:
        raise ValueError(f"{path}: {written} rows, expected {count}")


def read_rows(path: Path) -> Iterator[Rows]:
    """Yield the rows of a `.npy` file, some at a time; it is mapped for each block anew, so that no more stays."""
    for start in range(0, count_rows(path), AT_ONCE):
        yield np.array(mapped(path)[start : start + AT_ONCE])


def count_rows(path: Path) -> int:
    """Return how many there are."""
    return len(mapped(path))


def mapped(path: Path) -> Rows:
    """Return all rows as a map of the file: what is touched counts as this process's memory until it is dropped."""
    rows: Rows = np.load(path, mmap_mode="r", allow_pickle=False)
    return rows


def lower_bounds(ordered: Rows, wanted: Shaped[np.ndarray, " wanted"]) -> Int64[np.ndarray, " wanted"]:
    """Return what `np.searchsorted` does, which would copy a field of rows as a whole; this reads what it compares."""
    low, high = np.zeros(len(wanted), np.int64), np.full(len(wanted), len(ordered), np.int64)
    while (open_ := low < high).any():
        middle = (low + high) // 2
        less = open_ & (np.asarray(ordered[np.minimum(middle, len(ordered) - 1)]) < wanted)
        low, high = np.where(less, middle + 1, low), np.where(open_ & ~less, middle, high)
    return low


def find(ordered: Rows, wanted: Shaped[np.ndarray, " wanted"]) -> Int64[np.ndarray, " wanted"]:
    """Return where each wanted value is first among the ordered ones, -1 where it is not."""
    if not len(ordered):
        return np.full(len(wanted), -1, np.int64)
    places = np.minimum(lower_bounds(ordered, wanted), len(ordered) - 1)
    return np.where(np.asarray(ordered[places]) == wanted, places, -1)
