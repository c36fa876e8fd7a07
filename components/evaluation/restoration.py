"""Restoration: how near mended or reconstructed pictures are to the truth, per picture, inside the hole and in all.

Every score is a mean over pictures of a value per picture, so each picture weighs the same whatever its hole, an
interval comes from resampling pictures, and two models can be compared picture by picture. Errors are in the pixel
range [0, 1].
"""

import itertools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, UInt8
from numpy.typing import NDArray

from components.evaluation.intervals import bootstrap_means
from components.evaluation.protocol import Protocol, Score
from components.evaluation.similarity import inner_mean, ssim_map

MSE_FLOOR = 1 / 12 / 255**2
"""Mean squared error that rounding to 8 bits alone leaves; caps PSNR at 58.92 dB, so equal pictures stay finite."""

_CHUNK = 64
_VERSION = "kintsugi restoration 1"
_BETTER: Mapping[str, Literal["lower", "higher"]] = {
    "psnr": "higher",
    "ssim": "higher",
    "mse": "lower",
    "rmse": "lower",
    "l1": "lower",
}
_WORDS = {
    "psnr": "mean over pictures of the peak signal-to-noise ratio (dB, at most 58.92)",
    "ssim": "mean over pictures of structural similarity (Wang et al. 2004, 11 × 11 Gaussian)",
    "mse": "mean over pictures of the mean squared error",
    "rmse": "mean over pictures of the root mean squared error",
    "l1": "mean over pictures of the mean absolute error",
}
_REGIONS = {
    "hole": "over missing pixels",
    "composite": "over all pixels, known ones taken from the truth",
    "full": "over all pixels as delivered",
}

Pictures = UInt8[np.ndarray, "images height width 3"]
Missing = Bool[np.ndarray, "images height width"]
Values = dict[str, Float64[np.ndarray, " images"]]


def restoration_scores(
    restored: Pictures,
    truth: Pictures,
    missing: Missing,
    bins: Sequence[float],
    corruption_digest: str,
    seed: int = 0,
    degradations: Mapping[str, Bool[np.ndarray, " images"]] = MappingProxyType({}),
) -> tuple[Score, ...]:
    """Return PSNR, SSIM, MSE, RMSE and L1 inside the hole, of the composite, and of the picture as delivered.

    Names are `psnr_hole`, `psnr_composite`, `psnr_full` and so on; those of one area bin end in `/area_0.1-0.2`, those
    of the pictures with one kind of degradation in `/degradation_jpeg`. Hole scores leave out pictures that miss
    nothing, composite scores count them; where no picture misses anything there are neither.

    Args:
        restored: What the model or baseline delivers.
        truth: The pictures before corruption.
        missing: True where pixels are missing.
        bins: Increasing edges of the missing fraction; a bin holds fractions in (low, high]. Empty for no bins.
        corruption_digest: Of the frozen corruption set.
        seed: Of the resampling behind the intervals.
        degradations: By kind, which pictures were degraded so; a picture may have several.

    Raises:
        ValueError: The arrays do not belong together, or there are no pictures.
    """
    _check(restored, truth)
    if missing.shape != truth.shape[:3] or missing.dtype != np.bool_:
        raise ValueError(f"expected a bool mask of shape {truth.shape[:3]}, found {missing.dtype} {missing.shape}")
    area = missing.mean(axis=(1, 2))
    holed: NDArray[np.bool_] = area > 0
    regions = _regions(restored, truth, missing)
    scores: list[Score] = []
    counted = {"hole": holed, "composite": np.full_like(holed, holed.any()), "full": np.ones_like(holed)}
    for region, values in regions.items():
        scores += _scores(values, counted[region], region, {}, corruption_digest, seed)
    for low, high in itertools.pairwise(bins):
        chosen = holed & (area > low) & (area <= high)
        for region in ("hole", "composite"):
            part = {"area": f"{low:g}-{high:g}"}
            scores += _scores(regions[region], chosen, region, part, corruption_digest, seed)
    for kind, degraded in degradations.items():
        scores += _scores(regions["full"], degraded, "full", {"degradation": kind}, corruption_digest, seed)
    return tuple(scores)


def reconstruction_scores(
    reconstructed: Pictures, truth: Pictures, reference_digest: str, seed: int = 0
) -> tuple[Score, ...]:
    """Return PSNR, SSIM, MSE, RMSE and L1 of an autoencoder's pictures, called `reconstruction_psnr` and so on.

    Raises:
        ValueError: The arrays do not belong together, or there are no pictures.
    """
    _check(reconstructed, truth)
    values = _full(reconstructed, truth)
    everything = np.ones(len(truth), dtype=np.bool_)
    return tuple(
        score.model_copy(update={"name": f"reconstruction_{score.name.removesuffix('_full')}"})
        for score in _scores(values, everything, "full", {}, reference_digest, seed)
    )


def _regions(restored: Pictures, truth: Pictures, missing: Missing) -> dict[str, Values]:
    """Return each region's values per picture, a few pictures at a time; hole values of whole pictures are 0."""
    composite = np.where(missing[..., None], restored, truth)
    similarity = np.concatenate([ssim_map(a, b) for a, b in _chunks(composite, truth)])
    pixels = missing.sum(axis=(1, 2))
    all_pixels = missing[0].size
    squared, absolute = _errors(composite, truth)
    hole_ssim = np.where(missing, similarity, 0).sum(axis=(1, 2)) / np.maximum(pixels, 1)
    return {
        "hole": _values(squared / np.maximum(pixels, 1), absolute / np.maximum(pixels, 1), hole_ssim),
        "composite": _values(squared / all_pixels, absolute / all_pixels, inner_mean(similarity)),
        "full": _full(restored, truth),
    }


def _full(pictures: Pictures, truth: Pictures) -> Values:
    squared, absolute = _errors(pictures, truth)
    similarity = np.concatenate([inner_mean(ssim_map(a, b)) for a, b in _chunks(pictures, truth)])
    pixels = truth[0, ..., 0].size
    return _values(squared / pixels, absolute / pixels, similarity)


def _errors(one: Pictures, other: Pictures) -> tuple[Float64[np.ndarray, " images"], Float64[np.ndarray, " images"]]:
    """Return each picture's squared and absolute errors, averaged over channels and summed over pixels, in [0, 1]."""
    squared, absolute = np.empty(len(one)), np.empty(len(one))
    for i, (a, b) in enumerate(zip(one, other, strict=True)):
        error = a.astype(np.int64) - b
        squared[i] = (error * error).sum() / (3 * 255**2)
        absolute[i] = np.abs(error).sum() / (3 * 255)
    return squared, absolute


def _values(
    mse: Float64[np.ndarray, " images"], l1: Float64[np.ndarray, " images"], similarity: Float64[np.ndarray, " images"]
) -> Values:
    psnr = -10 * np.log10(np.maximum(mse, MSE_FLOOR))
    return {"psnr": psnr, "ssim": similarity, "mse": mse, "rmse": np.sqrt(mse), "l1": l1}


def _scores(
    values: Values,
    chosen: Bool[np.ndarray, " images"],
    region: str,
    part: Mapping[str, str],
    reference: str,
    seed: int,
) -> list[Score]:
    """Return the scores of the chosen pictures; `part` says which they are if not all: a name and its value."""
    if not chosen.any():
        return []
    columns = np.stack([column[chosen] for column in values.values()], axis=1)
    low, high = bootstrap_means(columns, seed)
    scores = []
    for i, metric in enumerate(values):
        protocol = Protocol(
            metric=f"{_WORDS[metric]}, {_REGIONS[region]}",
            implementation=_VERSION,
            reference=reference,
            samples=len(columns),
            seed=seed,
            settings=dict(part),
        )
        suffix = "".join(f"/{what}_{value}" for what, value in part.items())
        name = f"{metric}_{region}{suffix}"
        scores.append(_score(name, columns[:, i], (low[i], high[i]), _BETTER[metric], protocol, paired=not part))
    return scores


def _score(
    name: str,
    column: Float64[np.ndarray, " images"],
    interval: tuple[float, float],
    better: Literal["lower", "higher"],
    protocol: Protocol,
    *,
    paired: bool = True,
) -> Score:
    value = float(column.mean())
    return Score(
        name=name,
        value=value,
        low=min(value, float(interval[0])),
        high=max(value, float(interval[1])),
        better=better,
        protocol=protocol,
        per_image=tuple(float(f"{number:.9g}") for number in column) if paired else None,
    )


def _chunks(one: Pictures, other: Pictures) -> list[tuple[Pictures, Pictures]]:
    return [(one[i : i + _CHUNK], other[i : i + _CHUNK]) for i in range(0, len(one), _CHUNK)]


def _check(pictures: Pictures, truth: Pictures) -> None:
    if len(truth) == 0:
        raise ValueError("there are no pictures to score")
    for name, array in (("pictures", pictures), ("truth", truth)):
        if array.ndim != 4 or array.shape[3] != 3 or array.dtype != np.uint8:
            raise ValueError(
                f"{name}: expected uint8 of shape (n, height, width, 3), found {array.dtype} {array.shape}"
            )
    if pictures.shape != truth.shape:
        raise ValueError(f"{len(pictures)} pictures {pictures.shape[1:]} do not match the truth {truth.shape}")
