"""Repair: mend a photo of any size with a network that learnt on small squares."""

from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from components.recipes.recipe import Restorer

_TILE_PX = 512
_OVERLAP_PX = 64
_BLENDED_OVERLAP_PX = 128
_UNTRUSTED_PX = 48
"""Width of a tile's rim that sees the tile's edge: more than most networks' reach, so that it is not used."""

Picture = UInt8[np.ndarray, "height width 3"]
Hole = Bool[np.ndarray, "height width"]


def repair(
    restorer: Restorer, image: Picture, missing: Bool[np.ndarray, "mask_height mask_width"], reach_px: float = 6.0
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
        reach_px: How far from known pixels the network is trusted.

    Raises:
        ValueError: Mask and image differ in size.
    """
    if missing.shape != image.shape[:2]:
        raise ValueError(f"the mask has {missing.shape[1]}x{missing.shape[0]} pixels, the image {_size(image)}")
    known = _restored(restorer, image, missing) if restorer.restores_known else image
    return np.where(missing[..., None], _filled(restorer, image, missing, reach_px), known)


def _filled(restorer: Restorer, image: Picture, missing: Hole, reach_px: float) -> Picture:
    """Return `image` with missing pixels filled in, from the coarsest scale that its widest hole needs to its own."""
    if not missing.any():
        return image
    depth = cv2.distanceTransform(missing.astype(np.uint8), cv2.DIST_L2, 5)
    if depth.max() <= 2 * reach_px or min(missing.shape) < 4 * restorer.stride:
        return _mended(restorer, image, missing)
    start = np.where((depth > reach_px)[..., None], _from_half_size(restorer, image, missing, reach_px), image)
    return _mended(restorer, start, missing & (depth <= reach_px))


def _from_half_size(restorer: Restorer, image: Picture, missing: Hole, reach_px: float) -> Picture:
    """Return the fill of a copy of half the size, enlarged. A small pixel is missing if no known one is under it."""
    height, width = missing.shape
    small = (max(1, (width + 1) // 2), max(1, (height + 1) // 2))
    known = (~missing).astype(np.float32)
    weight = cv2.resize(known, small, interpolation=cv2.INTER_AREA)
    total = cv2.resize(image.astype(np.float32) * known[..., None], small, interpolation=cv2.INTER_AREA)
    mean = total / np.maximum(weight, 1e-6)[..., None]
    halved = _filled(restorer, np.clip(np.rint(mean), 0, 255).astype(np.uint8), weight < 1e-3, reach_px)
    return np.asarray(cv2.resize(halved, (width, height), interpolation=cv2.INTER_LINEAR))


def _mended(restorer: Restorer, image: Picture, missing: Hole) -> Picture:
    """Return the network's fill, tile by tile; overlapping tiles begin from what the earlier ones filled in."""
    result, still = image.copy(), missing.copy()
    for window in _windows(missing.shape):
        if not still[window].any():
            continue
        tile, holes = _padded(result[window], still[window], restorer.stride)
        height, width = still[window].shape
        fill = restorer.restore(tile[None], holes[None])[0][:height, :width]
        result[window] = np.where(still[window][..., None], fill, result[window])
        still[_core(window)] = False
    return result


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


def _fading(window: tuple[slice, slice], shape: tuple[int, ...]) -> Float[np.ndarray, "height width"]:
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


def _windows(shape: tuple[int, ...], overlap_px: int = _OVERLAP_PX) -> Iterator[tuple[slice, slice]]:
    step = _TILE_PX - overlap_px
    for top in range(0, max(1, shape[0] - overlap_px), step):
        for left in range(0, max(1, shape[1] - overlap_px), step):
            yield slice(top, min(top + _TILE_PX, shape[0])), slice(left, min(left + _TILE_PX, shape[1]))


def _core(window: tuple[slice, slice]) -> tuple[slice, slice]:
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
