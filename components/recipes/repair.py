"""Repair: mend a photo of any size with a network that learnt on small squares."""

from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int32, UInt8

from components.recipes.recipe import Restorer

_TILE_PX = 512
_OVERLAP_PX = 64
_BLENDED_OVERLAP_PX = 128
_UNTRUSTED_PX = 48
"""Width of a tile's rim that sees the tile's edge: more than most networks' reach, so that it is not used."""

_CONTEXT_PX = 64
"""Known pixels around a hole that the network is shown; more than most networks' reach."""
_BAND_ROWS = 256
"""Rows of a smaller copy that are made at a time."""

Window = tuple[slice, slice]
Picture = UInt8[np.ndarray, "height width 3"]
Hole = Bool[np.ndarray, "height width"]


def repair(
    restorer: Restorer,
    image: Picture,
    missing: Bool[np.ndarray, "mask_height mask_width"],
    reach_px: float | None = None,
    side_px: int | None = None,
) -> Picture:
    """Return `image` with missing pixels filled in; all others are untouched, or restored where the model does that.

    A network fills holes of the width it has seen. Wider ones are mended on a smaller copy first, whose result is what
    the next larger copy starts from: at each scale only a rim of `reach_px` along the known pixels is taken from the
    network, the core from the scale below. Known pixels are restored at full size, for noise, blur and compression
    are of a size in pixels.

    Args:
        restorer: The network, fully convolutional.
        image: Shape (height, width, 3).
        missing: Shape (height, width), True where missing.
        reach_px: How far from known pixels the network is trusted; None: as far as it says itself.
        side_px: Show the network each wide hole whole, amid surroundings as wide as itself, in a copy whose longer side
            has at most so many pixels, and trust it there; for networks that learnt to fill such holes.

    Raises:
        ValueError: Mask and image differ in size, or the side is less than the network can take.
    """
    if missing.shape != image.shape[:2]:
        raise ValueError(f"the mask has {missing.shape[1]}x{missing.shape[0]} pixels, the image {_size(image)}")
    if side_px is not None and side_px < 4 * restorer.stride:
        raise ValueError(f"a side of {side_px} px, expected at least {4 * restorer.stride} for this network")
    known = _restored(restorer, image, missing) if restorer.restores_known else image
    reach = restorer.reach_px if reach_px is None else reach_px
    start, left = (image, missing) if side_px is None else _shown_whole(restorer, image, missing, reach, side_px)
    filled = _filled(restorer, start, left, reach)
    np.copyto(filled, known, where=~missing[..., None])
    return filled


def _filled(restorer: Restorer, image: Picture, missing: Hole, reach_px: float) -> Picture:
    """Return a copy of `image` with missing pixels filled in, from the coarsest scale that its widest hole needs."""
    if not missing.any():
        return image.copy()
    depth = cv2.distanceTransform(missing.astype(np.uint8), cv2.DIST_L2, 5)
    if depth.max() <= 2 * reach_px or min(missing.shape) < 4 * restorer.stride:
        return _mended(restorer, image.copy(), missing)
    rim = depth <= reach_px
    start = _from_half_size(restorer, image, missing, reach_px)
    np.copyto(start, image, where=rim[..., None])
    return _mended(restorer, start, missing & rim)


def _shown_whole(
    restorer: Restorer, image: Picture, missing: Hole, reach_px: float, side_px: int
) -> tuple[Picture, Hole]:
    """Return a copy of `image` in which wide holes are filled from small copies of them, and what is still missing."""
    result, still = image.copy(), missing.copy()
    depth = cv2.distanceTransform(missing.astype(np.uint8), cv2.DIST_L2, 5)
    _, numbers, boxes, _ = cv2.connectedComponentsWithStats(missing.astype(np.uint8))
    for number in np.unique(numbers[depth > 2 * reach_px]):
        window = _amid(boxes[number], missing.shape)
        height, width = still[window].shape
        small, holes = _shrunk(result[window], still[window], _within(side_px, height, width))
        fill = cv2.resize(_mended(restorer, small, holes), (width, height), interpolation=cv2.INTER_CUBIC)
        own = numbers[window] == number
        np.copyto(result[window], fill, where=own[..., None])
        still[window] &= ~own
    return result, still


def _amid(box: Int32[np.ndarray, "5"], shape: tuple[int, ...]) -> Window:
    """Return a hole's window: its box (left, top, width, height) and, on all sides, half of its longer side."""
    left, top, width, height = (int(one) for one in box[:4])
    margin = max(width, height, 2 * _CONTEXT_PX) // 2
    down = slice(max(0, top - margin), min(top + height + margin, shape[0]))
    return down, slice(max(0, left - margin), min(left + width + margin, shape[1]))


def _within(side_px: int, height: int, width: int) -> tuple[int, int]:
    """Return the size of a copy whose longer side has at most so many pixels."""
    share = min(1.0, side_px / max(height, width))
    return max(1, round(height * share)), max(1, round(width * share))


def _from_half_size(restorer: Restorer, image: Picture, missing: Hole, reach_px: float) -> Picture:
    """Return the fill of a copy of half the size, enlarged."""
    height, width = missing.shape
    small, holes = _shrunk(image, missing, ((height + 1) // 2, (width + 1) // 2))
    halved = _filled(restorer, small, holes, reach_px)
    return np.asarray(cv2.resize(halved, (width, height), interpolation=cv2.INTER_LINEAR))


def _shrunk(
    image: Picture, missing: Hole, size: tuple[int, int]
) -> tuple[UInt8[np.ndarray, "small_height small_width 3"], Bool[np.ndarray, "small_height small_width"]]:
    """Return a smaller copy, made of known pixels only. A small pixel is missing if no known one is under it.

    Rows are shrunk some at a time where that gives the same, so that no copy in floats of all of them is needed.
    """
    height, width = size
    picture, holes = np.empty((height, width, 3), np.uint8), np.empty((height, width), np.bool_)
    rows = _BAND_ROWS if missing.shape[0] == 2 * height else height
    for top in range(0, height, rows):
        band = slice(top, min(top + rows, height))
        whole = slice(None) if rows == height else slice(2 * band.start, 2 * band.stop)
        known = (~missing[whole]).astype(np.float32)
        flat = (width, band.stop - band.start)
        weight = cv2.resize(known, flat, interpolation=cv2.INTER_AREA)
        total = cv2.resize(image[whole] * known[..., None], flat, interpolation=cv2.INTER_AREA)
        mean = total / np.maximum(weight, 1e-6)[..., None]
        picture[band] = np.clip(np.rint(mean), 0, 255)
        holes[band] = weight < 1e-3
    return picture, holes


def _mended(restorer: Restorer, result: Picture, missing: Hole) -> Picture:
    """Fill in the picture given, tile by tile, and return it; overlapping tiles begin from what earlier ones filled."""
    still = missing.copy()
    for tile in _windows(missing.shape):
        for window in _around_holes(still[tile], tile):
            part, holes = _padded(result[window], still[window], restorer.stride)
            height, width = still[window].shape
            fill = restorer.restore(part[None], holes[None])[0][:height, :width]
            np.copyto(result[window], fill, where=still[window][..., None])
        still[_core(tile)] = False
    return result


def _around_holes(missing: Hole, tile: Window) -> Iterator[Window]:
    """Yield the parts of a tile that together show each of its holes with its surroundings, or all of the tile.

    Their edges lie on a grid of `_CONTEXT_PX`, so that halvings inside the network fall as in the whole tile.
    """
    if not missing.any():
        return
    down, across = (-(-length // _CONTEXT_PX) for length in missing.shape)
    cells = np.zeros((down * _CONTEXT_PX, across * _CONTEXT_PX), np.uint8)
    cells[: missing.shape[0], : missing.shape[1]] = missing
    touched = cells.reshape(down, _CONTEXT_PX, across, _CONTEXT_PX).max(axis=(1, 3))
    _, _, boxes, _ = cv2.connectedComponentsWithStats(cv2.dilate(touched, np.ones((3, 3), np.uint8)))
    if (boxes[1:, 2] * boxes[1:, 3]).sum() >= down * across:
        yield tile
        return
    for left, top, width, height, _ in (_CONTEXT_PX * boxes[1:]).tolist():
        yield (
            slice(tile[0].start + top, min(tile[0].start + top + height, tile[0].stop)),
            slice(tile[1].start + left, min(tile[1].start + left + width, tile[1].stop)),
        )


def _restored(restorer: Restorer, image: Picture, missing: Hole) -> Picture:
    """Return the network's whole picture. Tiles fade into one another where each sees well beyond the seam."""
    total = np.zeros(image.shape, np.float32)
    weights = np.zeros((*missing.shape, 1), np.float32)
    for window in _windows(missing.shape, _BLENDED_OVERLAP_PX):
        tile, holes = _padded(image[window], missing[window], restorer.stride)
        height, width = missing[window].shape
        weight = _fading(window, missing.shape)[..., None]
        total[window] += restorer.restore(tile[None], holes[None])[0][:height, :width] * weight
        weights[window] += weight
    return np.rint(total / weights).astype(np.uint8)


def _fading(window: Window, shape: tuple[int, ...]) -> Float[np.ndarray, "height width"]:
    """Return a tile's share in each of its pixels: 1, but for a ramp to 0 on the way to edges inside the picture."""
    down, across = (_ramp(part, length) for part, length in zip(window, shape, strict=True))
    return np.asarray(np.maximum(down[:, None] * across[None, :], 1e-6), np.float32)


def _ramp(part: slice, length: int) -> Float[np.ndarray, " part"]:
    place = np.arange(part.start, part.stop)
    ends = [place - part.start] if part.start > 0 else []
    ends += [part.stop - 1 - place] if part.stop < length else []
    fade = _BLENDED_OVERLAP_PX - 2 * _UNTRUSTED_PX
    ramps = [((end - _UNTRUSTED_PX + 0.5) / fade).clip(0, 1) for end in ends]
    return np.asarray(np.minimum.reduce([np.ones(len(place)), *ramps]), np.float32)


def _windows(shape: tuple[int, ...], overlap_px: int = _OVERLAP_PX) -> Iterator[Window]:
    step = _TILE_PX - overlap_px
    for top in range(0, max(1, shape[0] - overlap_px), step):
        for left in range(0, max(1, shape[1] - overlap_px), step):
            yield slice(top, min(top + _TILE_PX, shape[0])), slice(left, min(left + _TILE_PX, shape[1]))


def _core(window: Window) -> Window:
    """Return the part of a window that the next windows take as known: all but half the overlap at its far ends."""
    return tuple(slice(part.start, max(part.start + 1, part.stop - _OVERLAP_PX // 2)) for part in window)  # type: ignore[return-value]


def _padded(
    image: Picture, missing: Hole, stride: int
) -> tuple[UInt8[np.ndarray, "padded_height padded_width 3"], Bool[np.ndarray, "padded_height padded_width"]]:
    """Return both reflected at the far ends to a multiple of `stride`."""
    below, right = -image.shape[0] % stride, -image.shape[1] % stride
    frame = ((0, below), (0, right))
    return np.pad(image, (*frame, (0, 0)), mode="symmetric"), np.pad(missing, frame, mode="symmetric")


def _size(image: Picture) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
