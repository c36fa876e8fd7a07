"""Toning: how far the colours of pictures are off, as a whole and over large areas.

A shift of all colours by a few levels hardly moves what a network sees, nor the error of a mended hole, and is what
people notice first. All numbers are in the pixel range [0, 1].
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import Float64, UInt8
from numpy.typing import NDArray

from components.deferred.torch import nn, torch
from components.evaluation.intervals import bootstrap_means, jackknife_halfwidth, random_groups
from components.evaluation.protocol import Protocol, Score

COLOUR, LOW_PASS = "colour_shift", "low_pass_error"
_AREAS = 8
_GROUPS = 20
_CHUNK = 256
_VERSION = "kintsugi toning 1"
_OF_SETS: Mapping[str, str] = MappingProxyType(
    {
        COLOUR: "root mean square over channels of the difference of the two sets' mean colours",
        LOW_PASS: "root mean square of the difference of the two sets' mean pictures, averaged over 8 × 8 areas",
    }
)
_OF_PICTURES: Mapping[str, str] = MappingProxyType(
    {
        COLOUR: "mean over pictures of the root mean square over channels of the difference of mean colours",
        LOW_PASS: "mean over pictures of the root mean square of the difference, averaged over 8 × 8 areas",
    }
)

Pictures = UInt8[np.ndarray, "images height width 3"]
Tones = Float64[np.ndarray, "images areas"]


def tones(pictures: Pictures) -> Tones:
    """Return the mean colours of 8 × 8 areas of each picture, one row each, three numbers an area."""
    parts = [np.empty((0, _AREAS * _AREAS * 3))]
    for start in range(0, len(pictures), _CHUNK):
        planes = torch.from_numpy(np.array(pictures[start : start + _CHUNK])).permute(0, 3, 1, 2).double() / 255
        areas = nn.functional.adaptive_avg_pool2d(planes, _AREAS)
        parts.append(areas.permute(0, 2, 3, 1).flatten(1).numpy())
    return np.concatenate(parts)


def set_toning(made: Tones, real: Tones, reference: str, seed: int) -> tuple[Score, ...]:
    """Return `colour_shift` and `low_pass_error` of two sets of pictures, of their means.

    The intervals are the delete-a-group jackknife's over both sets.

    Args:
        made: From `tones`, at least two pictures.
        real: The same of real pictures.
        reference: Digest of the real ones.
        seed: Of the groups.
    """
    groups = min(_GROUPS, len(made), len(real))
    sets = [(part, random_groups(len(part), groups, seed, name)) for part, name in ((made, "fakes"), (real, "reals"))]
    left = np.array(
        [_apart(*(np.delete(part, one[number], axis=0).mean(axis=0) for part, one in sets)) for number in range(groups)]
    )
    values = _apart(made.mean(axis=0), real.mean(axis=0))
    protocols = _protocols(_OF_SETS, len(made), len(real), reference, seed)
    return tuple(
        _score(protocol, name, value, jackknife_halfwidth(replicates))
        for (name, protocol), value, replicates in zip(protocols.items(), values, left.T, strict=True)
    )


def picture_toning(mended: Pictures, truth: Pictures, reference: str, seed: int) -> tuple[Score, ...]:
    """Return `colour_shift` and `low_pass_error` of mended pictures against the true ones, picture by picture.

    Args:
        mended: As delivered.
        truth: The pictures before they were damaged.
        reference: Digest of the frozen set.
        seed: Of the resampling behind the intervals.
    """
    gaps = tones(mended) - tones(truth)
    values = np.stack(_sizes(gaps), axis=1)
    low, high = bootstrap_means(values, seed)
    protocols = _protocols(_OF_PICTURES, len(truth), None, reference, seed)
    scores = []
    for (name, protocol), column, least, most in zip(protocols.items(), values.T, low, high, strict=True):
        mean = float(column.mean())
        scores.append(
            Score(
                name=name,
                value=mean,
                low=min(mean, float(least)),
                high=max(mean, float(most)),
                better="lower",
                protocol=protocol,
                per_image=tuple(float(f"{number:.9g}") for number in column),
            )
        )
    return tuple(scores)


def _apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate(_sizes((one - other)[None]))


def _sizes(gaps: Tones) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return of each row the root mean square of its mean colour, and of all its areas."""
    colour = gaps.reshape(len(gaps), -1, 3).mean(axis=1)
    return np.sqrt(np.square(colour).mean(axis=1)), np.sqrt(np.square(gaps).mean(axis=1))


def _protocols(
    words: Mapping[str, str], samples: int, reference_samples: int | None, reference: str, seed: int
) -> dict[str, Protocol]:
    return {
        name: Protocol(
            metric=metric,
            implementation=_VERSION,
            reference=reference,
            samples=samples,
            reference_samples=reference_samples,
            seed=seed,
        )
        for name, metric in words.items()
    }


def _score(protocol: Protocol, name: str, value: float, half: float) -> Score:
    value = float(value)
    return Score(
        name=name, value=value, low=max(0.0, value - half), high=value + half, better="lower", protocol=protocol
    )
