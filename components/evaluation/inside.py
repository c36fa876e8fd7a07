"""Inside: what people look at to trust a model: ways through its code, what it looks at, its worst and its best."""

from collections.abc import Iterator
from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8

from components.data import FrozenImages
from components.evaluation.evidence import Picture, Strip
from components.evaluation.restoration import MSE_FLOOR
from components.pictures import figures
from components.recipes.directions import Steerable
from components.recipes.recipe import Images, Missing, Producer, Restorer, blocks_of

_DIRECTIONS = 4
_SAMPLES = 8
_SHIFTS = (-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0)
_CELLS = 8
"""Parts of a side that are hidden one at a time."""
_WATCHED = 4
_EACH = 2
"""Worst pictures of a bin, and best."""
_PIXELS_AT_ONCE = 2**20
_GOLD = (212, 160, 23)


def ways(producer: Producer, seed: int) -> tuple[Strip, ...]:
    """Return what samples become along the strongest directions of a model's code; nothing where it has none."""
    if not isinstance(producer, Steerable):
        return ()
    found = producer.along(_DIRECTIONS, _SAMPLES, _SHIFTS, seed)
    return tuple(
        Strip(f"Direction {number}", tuple(np.stack([figures.grid(view, columns=_SAMPLES) for view in views])), _SHIFTS)
        for number, views in enumerate(found, start=1)
    )


def looked_at(restorer: Restorer, frozen: FrozenImages) -> Picture | None:
    """Return where hiding known pixels changes what a model fills holes with: brighter gold, more change.

    Occlusion as in Zeiler and Fergus 2014, section 4.2, https://arxiv.org/abs/1311.2901, by making each of 8 x 8 parts
    of the picture missing too. Each map is scaled by its own largest change. None where nothing is missing.
    """
    size = frozen.images.shape[1]
    most = max(1, min(_WATCHED, _WATCHED * 128**2 // size**2))
    rows = [place for place in _spread(frozen.bins) if frozen.missing[place].any()][:most]
    if not rows or size < _CELLS:
        return None
    maps = [_changes(restorer, frozen.corrupted[row], frozen.missing[row]) for row in rows]
    damaged = frozen.corrupted[rows]
    gilded = np.stack([_gilded(image, one) for image, one in zip(damaged, maps, strict=True)])
    mended = restorer.restore(damaged, frozen.missing[rows])
    return figures.panels(figures.shrunk([("damaged", damaged), ("mended", mended), ("looked at", gilded)]))


def extremes(restored: Images, frozen: FrozenImages) -> dict[str, Picture]:
    """Return the worst and the best mended pictures of each bin of missing area, by PSNR where pixels were mended.

    As many of both, small holes first; of pictures that miss nothing, by PSNR of the whole.
    """
    errors = _errors(restored, frozen.images, frozen.missing)
    pictures = {}
    for name, sign in (("worst", -1), ("best", 1)):
        rows = np.concatenate([_first(sign * errors, frozen.bins == number) for number in np.unique(frozen.bins)])
        views = [("truth", frozen.images[rows]), ("damaged", frozen.corrupted[rows]), (name, restored[rows])]
        pictures[name] = figures.panels(figures.shrunk(views))
    return pictures


def _changes(restorer: Restorer, image: Picture, hole: Bool[np.ndarray, "side side"]) -> Float64[np.ndarray, "8 8"]:
    """Return the mean change of the hole's pixels by hiding each part; 0 where a part has no known pixel."""
    edges = np.linspace(0, len(hole), _CELLS + 1).round().astype(int)
    parts = []
    for top, bottom in pairwise(edges):
        for left, right in pairwise(edges):
            hidden = hole.copy()
            hidden[top:bottom, left:right] = True
            parts.append(hidden)
    before = restorer.restore(image[None], hole[None])[0][hole].astype(np.int16)
    changes = [
        np.abs(after[hole].astype(np.int16) - before).mean() for after in _filled(restorer, image, np.stack(parts))
    ]
    return np.array(changes).reshape(_CELLS, _CELLS)


def _filled(restorer: Restorer, image: Picture, holes: Missing) -> Iterator[Picture]:
    for rows in blocks_of(slice(0, len(holes)), max(1, _PIXELS_AT_ONCE // image[..., 0].size)):
        some = holes[rows]
        yield from restorer.restore(np.where(some[..., None], np.uint8(127), image), some)


def _gilded(image: Picture, changes: Float64[np.ndarray, "8 8"]) -> UInt8[np.ndarray, "side side 3"]:
    """Return a dim grey copy with gold where changes are large."""
    share = cv2.resize(changes / max(changes.max(), 1e-9), image.shape[1::-1], interpolation=cv2.INTER_NEAREST)[
        ..., None
    ]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None] * 0.6
    gilded: Picture = np.rint(grey * (1 - 0.85 * share) + np.array(_GOLD) * 0.85 * share).astype(np.uint8)
    return gilded


def _errors(restored: Images, truth: Images, missing: Missing) -> Float64[np.ndarray, " images"]:
    """Return the logarithm of each picture's mean squared error, in the hole or, where there is none, in all."""
    errors = np.empty(len(truth))
    for row, (made, true, hole) in enumerate(zip(restored, truth, missing, strict=True)):
        where = hole if hole.any() else np.ones_like(hole)
        errors[row] = np.square(made[where].astype(float) - true[where]).mean() / 255**2
    return np.log(np.maximum(errors, MSE_FLOOR))


def _first(values: Float64[np.ndarray, " images"], chosen: Bool[np.ndarray, " images"]) -> Int64[np.ndarray, " few"]:
    """Return the rows of the smallest values among those that are chosen."""
    rows = np.flatnonzero(chosen)
    return rows[np.argsort(values[rows], kind="stable")[:_EACH]]


def _spread(bins: Int64[np.ndarray, " images"]) -> list[int]:
    """Return a row of each bin, then a second of each, and so on: large holes first, in which more is guessed."""
    by_bin = [np.flatnonzero(bins == number) for number in np.unique(bins)[::-1]]
    return [int(rows[place]) for place in range(max(map(len, by_bin))) for rows in by_bin if place < len(rows)]
