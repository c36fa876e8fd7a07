"""Sharing: which images of an evaluation each process works on, and how the results come together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from components import distributed
from components.deferred.torch import torch
from components.recipes.recipe import Images, blocks_of


def own_rows(count: int, block: int) -> slice:
    """Return this process's part of images 0 to `count` - 1; the main process has the first.

    Parts are whole blocks, so that each block is computed alike however many processes there are.
    """
    blocks = -(-count // block)
    rank, processes = distributed.rank(), distributed.processes()
    first, last = (-(-place * blocks // processes) * block for place in (rank, rank + 1))
    return slice(min(first, count), min(last, count))


def drawn(generate: Callable[[slice], Images], count: int, size: int, block: int) -> Images:
    """Return this process's part of `count` pictures of `size` px, each block made by `generate`."""
    parts = [generate(rows) for rows in blocks_of(own_rows(count, block), block)]
    return np.concatenate([np.empty((0, size, size, 3), np.uint8), *parts])


def joined(part: Images) -> Images | None:
    """Return all processes' pictures in the main process, None in the others."""
    whole = distributed.gather_rows(torch.from_numpy(part))
    return None if whole is None else whole.numpy()
