"""SSIM against the window-by-window definition and against scikit-image."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from components.evaluation.similarity import inner_mean, ssim_map
from components.seeding import numpy_generator


def pair(size):
    generator = numpy_generator(0, "ssim", size)
    one = generator.integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    noise = generator.integers(-40, 40, one.shape)
    return one, np.clip(one.astype(int) + noise, 0, 255).astype(np.uint8)


def test_map_equals_the_definition_window_by_window():
    one, other = pair(20)
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()
    found = ssim_map(one, other)[0, 5:-5, 5:-5]
    for row, column in np.ndindex(found.shape):
        values = []
        for channel in range(3):
            x = one[0, row : row + 11, column : column + 11, channel].astype(float)
            y = other[0, row : row + 11, column : column + 11, channel].astype(float)
            mx, my = (window * x).sum(), (window * y).sum()
            vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
            cov = (window * (x - mx) * (y - my)).sum()
            c1, c2 = 2.55**2, 7.65**2
            values.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
        assert found[row, column] == pytest.approx(np.mean(values), rel=1e-9)


@pytest.mark.parametrize("size", [11, 32])
def test_number_and_map_equal_those_of_scikit_image(size):
    one, other = pair(size)
    for i, value in enumerate(inner_mean(ssim_map(one, other))):
        expected, full = structural_similarity(
            one[i],
            other[i],
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
            channel_axis=2,
            full=True,
        )
        assert value == pytest.approx(expected, rel=1e-10)
        np.testing.assert_allclose(ssim_map(one, other)[i], full.mean(axis=2), rtol=1e-9)


def test_picture_smaller_than_the_window_still_has_a_number():
    one, _ = pair(8)
    assert inner_mean(ssim_map(one, one)) == pytest.approx([1, 1])
