"""The fast fills against exact, slow ones."""

import cv2
import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
from scipy.interpolate import griddata
from skimage import data

from components.baselines.harmonic import Harmonic
from components.baselines.interpolation import Interpolation
from components.corruption import CorruptionMix
from components.corruption.strokes import StrokesConfig


def harmonic_exactly(image, missing):
    """Assemble Laplace's equation pixel by pixel and solve it directly; no flow through the image's edge."""
    height, width = missing.shape
    number = {tuple(place): index for index, place in enumerate(np.argwhere(missing).tolist())}
    matrix = scipy.sparse.lil_matrix((len(number), len(number)))
    right = np.zeros((len(number), 3))
    for (row, column), index in number.items():
        for place in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if not (0 <= place[0] < height and 0 <= place[1] < width):
                continue
            matrix[index, index] += 1
            if place in number:
                matrix[index, number[place]] = -1
            else:
                right[index] += image[place]
    solved = image.astype(float)
    solved[missing] = scipy.sparse.linalg.splu(matrix.tocsc()).solve(right)
    return solved


def photograph_and_mask(size, style, area, seed):
    image = cv2.resize(data.astronaut(), (size, size), interpolation=cv2.INTER_AREA)
    mix = CorruptionMix(masks=(StrokesConfig(style=style),))
    return image, mix.corrupt(image, np.random.default_rng(seed), area).missing


@pytest.mark.parametrize(
    ("size", "style", "area"),
    [(32, "thin", (0.1, 0.4)), (32, "thick", (0.4, 0.8)), (96, "medium", (0.1, 0.3)), (96, "thick", (0.4, 0.6))],
)
def test_the_harmonic_fill_is_within_a_level_of_the_exact_solution(size, style, area):
    image, missing = photograph_and_mask(size, style, area, seed=3)
    restored = Harmonic().restore(image[None], missing[None])[0]
    difference = np.abs(restored - harmonic_exactly(image, missing))[missing]
    assert difference.max() < 1.5  # half a level of which is rounding
    assert difference.mean() < 0.35


def test_the_harmonic_fill_meets_a_hole_at_the_edge_as_exactly():
    image, missing = photograph_and_mask(48, "thin", (0.1, 0.2), seed=0)
    missing[:, :20] = True
    restored = Harmonic().restore(image[None], missing[None])[0]
    assert np.abs(restored - harmonic_exactly(image, missing))[missing].max() < 1.5


@pytest.mark.parametrize("style", ["thin", "thick"])
def test_interpolation_from_the_rim_is_as_good_as_from_every_known_pixel(style):
    image, missing = photograph_and_mask(64, style, (0.1, 0.3), seed=5)
    restored = Interpolation().restore(image[None], missing[None])[0].astype(float)
    known = ~missing
    levels = griddata(np.argwhere(known), image[known].astype(float), np.argwhere(missing), method="linear")
    inside = ~np.isnan(levels).any(axis=1)
    truth = image[missing][inside].astype(float)
    errors = [np.sqrt(np.mean((found - truth) ** 2)) for found in (restored[missing][inside], levels[inside])]
    assert errors[0] == pytest.approx(errors[1], rel=0.05)
    assert np.median(np.abs(restored[missing][inside] - levels[inside])) <= 0.5
