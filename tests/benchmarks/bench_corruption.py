"""How fast damage is drawn at 256 px: masks against LaMa's generator, degradations against `imagecorruptions`."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean
from unittest.mock import patch

import cv2
import numpy as np
from harness import Effort, Figure, Peer, Timed, Timing
from numpy.typing import NDArray
from pictures import crops

from components.corruption.blur import DefocusBlurConfig, MotionBlurConfig
from components.corruption.degradation import DegradationSection
from components.corruption.noise import (
    GaussianNoiseConfig,
    ImpulseNoiseConfig,
    ShotNoiseConfig,
    SpeckleNoiseConfig,
)
from components.corruption.quality import ContrastConfig, JpegConfig, ResampleConfig
from components.corruption.shapes import BoxesConfig, Mask
from components.corruption.strokes import StrokesConfig
from components.seeding import numpy_generator

Picture = NDArray[np.uint8]

_SIZE = 256
_SEVERITY = 3
_LEAST_PSNR_DB = 35.0
_MOMENT_TOLERANCE = 0.02
_MASKS = (StrokesConfig(style="thick"), BoxesConfig())

# The peer's name, ours, and whether equal pixels can be asked for; what is drawn at random is compared by moments.
# Its gaussian_blur, glass_blur and fog raise with NumPy 2 and scikit-image 0.26.
_DEGRADATIONS: tuple[tuple[str, DegradationSection, bool], ...] = (
    ("gaussian_noise", GaussianNoiseConfig(severity=_SEVERITY), False),
    ("shot_noise", ShotNoiseConfig(severity=_SEVERITY), False),
    ("impulse_noise", ImpulseNoiseConfig(severity=_SEVERITY), False),
    ("speckle_noise", SpeckleNoiseConfig(severity=_SEVERITY), False),
    ("motion_blur", MotionBlurConfig(severity=_SEVERITY), False),
    ("defocus_blur", DefocusBlurConfig(severity=_SEVERITY), True),
    ("contrast", ContrastConfig(severity=_SEVERITY), True),
    ("jpeg_compression", JpegConfig(severity=_SEVERITY), True),
    ("pixelate", ResampleConfig(severity=_SEVERITY, enlarge="nearest"), True),
)


def figures(effort: Effort, folder: Path) -> Iterator[Figure]:
    """Yield the figures, one core each."""
    del folder
    count = effort.of(1000, 50)
    yield Figure(
        "masks, 256 px",
        "masks",
        Timed("ours", count, lambda: [_our_mask(number) for number in range(count)]),
        [
            Peer(Timed("LaMa's generator, re-implemented", count, lambda: _lama_masks(count)), 6),
            Peer(Timed("limit: the same lines on blank canvases", count, _lines_alone(count))),
        ],
        _same_coverage,
    )
    pictures = list(crops(effort.of(8, 2), _SIZE))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is an old library
        from imagecorruptions import corrupt

    def mended(name: str) -> Callable[[Picture], Picture]:
        return lambda picture: corrupt(picture, severity=_SEVERITY, corruption_name=name)

    ours = [_over(pictures, _damage_by(kind)) for _, kind, _ in _DEGRADATIONS]
    theirs = [_over(pictures, mended(name)) for name, _, _ in _DEGRADATIONS]
    yield Figure(
        "degradations, 256 px, severity 3, geometric mean of 9",
        "images",
        GeometricMean("ours", len(pictures), ours),
        [Peer(GeometricMean("imagecorruptions", len(pictures), theirs), 10)],
        lambda: _same_damage(pictures, mended),
    )


@dataclass(frozen=True)
class GeometricMean:
    """A contender that takes the geometric mean of what several kinds of work take."""

    name: str
    units: float
    works: Sequence[Callable[[], object]]

    def measure(self) -> Timing:
        timings = [Timed(self.name, self.units, work).measure() for work in self.works]
        return Timing(geometric_mean(t.wall_s for t in timings), geometric_mean(t.cpu_s for t in timings))


def _over(pictures: Sequence[Picture], damage: Callable[[Picture], Picture]) -> Callable[[], object]:
    return lambda: [damage(picture) for picture in pictures]


def _damage_by(kind: DegradationSection) -> Callable[[Picture], Picture]:
    """Draw from a stream of its own for each picture, as a loader does."""
    return lambda picture: kind.degrade(picture, numpy_generator(1, "benchmark", 0)).image


def _same_damage(pictures: Sequence[Picture], mended: Callable[[str], Callable[[Picture], Picture]]) -> str:
    """Compare by PSNR what is not drawn at random; the rest by the mean and deviation of the change."""
    np.random.seed(1)  # noqa: NPY002 - the peer draws from NumPy's global stream
    worst = math.inf
    for name, kind, is_fixed in _DEGRADATIONS:
        ours = np.stack([_damage_by(kind)(picture) for picture in pictures]).astype(np.float64)
        theirs = np.stack([mended(name)(picture) for picture in pictures]).astype(np.float64)
        if is_fixed:
            psnr = 10 * math.log10(255**2 / max(((ours - theirs) ** 2).mean(), 1e-12))
            assert psnr >= _LEAST_PSNR_DB, f"{name}: PSNR {psnr:.1f} dB"
            worst = min(worst, psnr)
            continue
        for moment in (np.mean, np.std):
            mine, other = (moment(found - np.stack(pictures)) for found in (ours, theirs))
            assert abs(mine - other) <= _MOMENT_TOLERANCE * np.std(theirs), f"{name}: {moment.__name__} {mine}, {other}"
    return (
        f"the four that draw nothing agree to {worst:.1f} dB PSNR or better; mean and deviation of the change by the "
        f"five others to {_MOMENT_TOLERANCE:.0%} of the pixels' deviation"
    )


def _our_mask(number: int) -> Mask:
    """Return a mask of one of the two kinds that LaMa trains with, from a stream of its own, as a loader does."""
    rng = numpy_generator(1, "benchmark", number)
    return _MASKS[int(rng.integers(2))].draw(_SIZE, rng)


def _lines_alone(count: int) -> Callable[[], object]:
    """Return what draws the strokes of our masks with all numbers known before, and leaves boxes out: OpenCV's part."""
    lines: list[list[tuple[object, ...]]] = []
    with patch.object(cv2, "line", lambda _, *line: lines[-1].append(line)):
        for number in range(count):
            lines.append([])
            _our_mask(number)

    def drawn(of_a_mask: list[tuple[object, ...]]) -> Mask:
        canvas = np.zeros((_SIZE, _SIZE), np.uint8)
        for line in of_a_mask:
            cv2.line(canvas, *line)
        return canvas.view(np.bool_)

    return lambda: [drawn(of_a_mask) for of_a_mask in lines]  # kept, as those of the others are: memory is most of it


def _lama_masks(count: int) -> list[NDArray[np.float32]]:
    """Draw as LaMa's MixedMaskGenerator is documented to, with the numbers of its training configuration at 256 px.

    Written anew from its description (Suvorov et al. 2021, https://arxiv.org/abs/2109.07161): float32 masks, all
    numbers drawn one by one.
    """
    random = np.random.RandomState(1)
    return [(_lama_strokes if random.rand() < 0.5 else _lama_boxes)(random) for _ in range(count)]


def _lama_strokes(random: np.random.RandomState) -> NDArray[np.float32]:
    mask = np.zeros((_SIZE, _SIZE), np.float32)
    for stroke in range(random.randint(1, 6)):
        x, y = random.randint(_SIZE), random.randint(_SIZE)
        for _ in range(1 + random.randint(5)):
            angle = 0.01 + random.randint(4)
            if stroke % 2 == 0:
                angle = 2 * math.pi - angle
            length, width = 10 + random.randint(200), 5 + random.randint(100)
            end_x = int(np.clip((x + length * np.sin(angle)).astype(np.int32), 0, _SIZE))
            end_y = int(np.clip((y + length * np.cos(angle)).astype(np.int32), 0, _SIZE))
            cv2.line(mask, (x, y), (end_x, end_y), 1.0, width)
            x, y = end_x, end_y
    return mask[None]


def _lama_boxes(random: np.random.RandomState) -> NDArray[np.float32]:
    mask = np.zeros((_SIZE, _SIZE), np.float32)
    for _ in range(random.randint(1, 5)):
        width, height = random.randint(30, 150), random.randint(30, 150)
        left, top = random.randint(10, _SIZE - 10 - width + 1), random.randint(10, _SIZE - 10 - height + 1)
        mask[top : top + height, left : left + width] = 1
    return mask[None]


def _same_coverage() -> str:
    ours = np.array([_our_mask(number).mean() for number in range(2000)])
    theirs = np.array([mask.mean() for mask in _lama_masks(2000)])
    quantiles = [np.quantile(part, (0.1, 0.5, 0.9)) for part in (ours, theirs)]
    assert np.abs(quantiles[0] - quantiles[1]).max() < 0.06, f"quantiles of the share missing: {quantiles}"
    return f"mean share missing {ours.mean():.3f} and {theirs.mean():.3f} over 2,000 masks, deciles within 0.06"
