"""The smoothest fill in the sense of Laplace: each missing pixel is the mean of its neighbours, a soap film."""

import math
from typing import Literal

import numpy as np
import scipy  # its parts are imported when they are first used
from numpy.typing import NDArray

from components.baselines.restoration import FillSection, Images, Masks

_PIXELS_AT_ONCE = 2**18
_SWEEPS_PER_PIXEL_OF_DEPTH = 4
_MOST_SWEEPS = 1000


class Harmonic(FillSection):
    """Solves Laplace's equation in the hole, without flow through the image's edge.

    A pyramid of means (push-pull: Gortler et al. 1996, https://doi.org/10.1145/237170.237200) gives the first guess;
    red-black over-relaxation (Young 1954, https://doi.org/10.2307/1990745) ends within about a level of the exact
    solution. The number of sweeps follows from the hole's depth, so a result does not depend on the batch.
    """

    kind: Literal["harmonic"] = "harmonic"

    def _fill(self, images: Images, missing: Masks) -> NDArray[np.generic]:
        together = max(_PIXELS_AT_ONCE // missing[0].size, 1)
        starts = range(0, len(images), together)
        return np.concatenate([_solved(images[s : s + together], missing[s : s + together]) for s in starts])


def _solved(images: Images, missing: Masks) -> NDArray[np.float32]:
    depth = np.array([scipy.ndimage.distance_transform_edt(mask).max() for mask in missing])
    deepest_first = np.argsort(-depth, kind="stable")
    guess = push_pull(images[deepest_first].astype(np.float32), missing[deepest_first])
    relaxed = np.empty_like(guess)
    relaxed[deepest_first] = _relaxed(guess, missing[deepest_first], depth[deepest_first])
    return relaxed


def push_pull(values: NDArray[np.float32], missing: Masks) -> NDArray[np.float32]:
    """Return the values with missing pixels taken from the finest level of a mean pyramid that knows anything there.

    Args:
        values: Shape (n, height, width, 3).
        missing: Shape (n, height, width).
    """
    weights = (~missing).astype(np.float32)[..., None]
    totals = values * weights
    levels = [(totals, weights)]
    while weights.shape[1] > 1 or weights.shape[2] > 1:
        totals, weights = _halved(totals), _halved(weights)
        levels.append((totals, weights))
    coarse: NDArray[np.float32] = (totals / np.maximum(weights, 1)).astype(np.float32)
    for totals, weights in reversed(levels[:-1]):
        finer = _doubled(coarse)[:, : weights.shape[1], : weights.shape[2]]
        coarse = np.where(weights > 0, totals / np.maximum(weights, 1), finer).astype(np.float32)
    return coarse


def _halved(values: NDArray[np.float32]) -> NDArray[np.float32]:
    n, height, width, channels = values.shape
    even = np.pad(values, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
    blocks = even.reshape(n, even.shape[1] // 2, 2, even.shape[2] // 2, 2, channels)
    return np.asarray(blocks.sum(axis=(2, 4)), dtype=np.float32)


def _doubled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return twice the height and width, linear between the pixels' centres."""
    for axis in (1, 2):
        ends = np.take(values, [0], axis=axis), np.take(values, [-1], axis=axis)
        padded = np.concatenate([ends[0], values, ends[1]], axis=axis)
        length = values.shape[axis]
        before, after = (np.take(padded, range(start, start + length), axis=axis) for start in (0, 2))
        fine = np.stack([3 * values + before, 3 * values + after], axis=axis + 1).astype(np.float32) / np.float32(4)
        values = fine.reshape(*values.shape[:axis], 2 * length, *values.shape[axis + 1 :])
    return values


def _relaxed(guess: NDArray[np.float32], missing: Masks, depth: NDArray[np.float64]) -> NDArray[np.float32]:
    """Sweep over the missing pixels of all images at once; images come deepest first, and shallow ones end early."""
    n, height, width, _ = guess.shape
    values = np.pad(guess, ((0, 0), (1, 1), (1, 1), (0, 0))).reshape(-1, 3)
    image, row, column = np.nonzero(missing)
    place = (image * (height + 2) + row + 1) * (width + 2) + column + 1
    neighbours = 4 - (row == 0) - (row == height - 1) - (column == 0) - (column == width - 1).astype(np.int64)
    over = np.array([2 / (1 + math.sin(math.pi / (2 * d + 1))) for d in depth])
    step = _per_channel(over[image] / neighbours)
    keep = _per_channel(1 - over[image])
    sweeps = np.minimum(np.ceil(_SWEEPS_PER_PIXEL_OF_DEPTH * depth).astype(int) + 8, _MOST_SWEEPS)
    colours = [np.flatnonzero((row + column) % 2 == parity) for parity in (0, 1)]
    parts = [(place[c], step[c], keep[c], image[c]) for c in colours]
    for sweep in range(int(sweeps[0])):
        active = int(np.searchsorted(-sweeps, -sweep))
        for places, steps, keeps, owners in parts:
            end = int(np.searchsorted(owners, active))
            _sweep(values, places[:end], steps[:end], keeps[:end], width + 2)
    return values.reshape(n, height + 2, width + 2, 3)[:, 1:-1, 1:-1]


def _per_channel(factors: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return shape (n, 3); stored thrice, because NumPy multiplies equal shapes several times faster."""
    return np.repeat(factors.astype(np.float32)[:, None], 3, axis=1)


def _sweep(
    values: NDArray[np.float32],
    places: NDArray[np.int64],
    step: NDArray[np.float32],
    keep: NDArray[np.float32],
    row_length: int,
) -> None:
    """Move each place toward, and past, the mean of its neighbours; the frame around each image holds zeros."""
    total = values.take(places - 1, axis=0)
    for offset in (1, -row_length, row_length):
        total += values.take(places + offset, axis=0)
    total *= step
    kept = values.take(places, axis=0)
    kept *= keep
    total += kept
    values[places] = total
