"""Fingerprints: few numbers of a picture that stay nearly the same when it is resized, encoded anew or mirrored."""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8, UInt64
from scipy.fft import dctn

AREAS = 6
"""Areas along each side whose colours are kept."""

_SIDE_PX = 32
_FREQUENCIES = 8
_FAINT = 0.01
"""Least deviation of a channel (of the range 0 to 1) that is scaled up to that of others."""

Areas = UInt8[np.ndarray, "images areas areas 3"]
Hashes = UInt64[np.ndarray, " images"]


class Fingerprints(NamedTuple):
    """Of each picture: its hash, that of its mirror image, and the mean colours of its areas."""

    hashes: Hashes
    mirrored: Hashes
    areas: Areas


def fingerprints(pictures: UInt8[np.ndarray, "images height width 3"]) -> Fingerprints:
    """Return the fingerprints of pictures.

    The hash is the perceptual hash that the library ImageHash calls `phash`, after Zauner 2010, "Implementation and
    benchmarking of perceptual image hash functions": the signs, about their median, of the 8 × 8 lowest frequencies of
    the luma at 32 px. A mirrored picture has the same frequencies with every second column negated, so that its hash
    costs no second transform.
    """
    scaled = np.empty((len(pictures), _SIDE_PX, _SIDE_PX), np.float32)
    areas = np.empty((len(pictures), AREAS, AREAS, 3), np.uint8)
    for place, picture in enumerate(pictures):
        luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        shrinks = luma.shape[0] > _SIDE_PX
        scaled[place] = cv2.resize(
            luma, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        )
        areas[place] = cv2.resize(picture, (AREAS, AREAS), interpolation=cv2.INTER_AREA)
    low = dctn(scaled, axes=(1, 2))[:, :_FREQUENCIES, :_FREQUENCIES]
    signs = np.where(np.arange(_FREQUENCIES) % 2, -1, 1).astype(np.float32)
    return Fingerprints(_signs(low), _signs(low * signs), areas)


def areas_apart(one: Areas, other: Areas) -> Float[np.ndarray, " images"]:
    """Return how far the areas of each picture are from those of its partner, whichever way round it is held.

    Each channel is freed of its mean and scaled to its deviation, so that a change of brightness or contrast is none:
    0 is equal, about 1.4 unrelated.
    """
    first, second = _normalised(one), _normalised(other)
    squares = [((first - held) ** 2).sum(axis=(1, 2, 3)) for held in (second, second[:, :, ::-1])]
    apart: Float[np.ndarray, " images"] = np.sqrt(np.minimum(*squares))
    return apart


def _signs(frequencies: Float32[np.ndarray, "images rows columns"]) -> Hashes:
    flat = frequencies.reshape(len(frequencies), _FREQUENCIES**2)
    packed = np.packbits(flat > np.median(flat, axis=1, keepdims=True), axis=1)
    return np.ascontiguousarray(packed).view(np.uint64)[:, 0]


def _normalised(areas: Areas) -> Float[np.ndarray, "images areas areas 3"]:
    values = areas.astype(np.float32) / 255
    free = values - values.mean(axis=(1, 2), keepdims=True)
    deviation = np.sqrt((free**2).mean(axis=(1, 2), keepdims=True))
    normalised: Float[np.ndarray, "images areas areas 3"] = free / (np.maximum(deviation, _FAINT) * np.sqrt(3) * AREAS)
    return normalised
