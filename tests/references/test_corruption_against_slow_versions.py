"""The fast degradations against slow, obvious ones."""

import math

import cv2
import numpy as np
import pytest
from skimage import data

from components.corruption.blur import DefocusBlurConfig, MotionBlurConfig, disc
from components.corruption.noise import GaussianNoiseConfig, ShotNoiseConfig, SpeckleNoiseConfig


def psnr(image, other):
    return 10 * np.log10(255**2 / max(np.mean((image.astype(float) - other) ** 2), 1e-9))


@pytest.fixture(scope="module")
def photograph():
    return cv2.resize(data.astronaut(), (256, 256), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_defocus_equals_convolution_with_the_whole_disc(photograph, severity):
    blurred = DefocusBlurConfig(severity=severity).degrade(photograph, np.random.default_rng(0))
    kernel = disc(blurred.recipe["radius_px"], blurred.recipe["softness_px"])
    slow = cv2.filter2D(photograph.astype(np.float64), -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    assert psnr(blurred.image, slow) > 42


@pytest.mark.parametrize("severity", [1, 5])
def test_motion_equals_convolution_with_the_whole_line(photograph, severity):
    blurred = MotionBlurConfig(severity=severity).degrade(photograph, np.random.default_rng(4))
    radius, sigma = blurred.recipe["radius_px"], blurred.recipe["sigma_px"]
    angle = math.radians(blurred.recipe["angle_degrees"])
    kernel = np.zeros((4 * radius + 1, 4 * radius + 1))
    for distance in range(2 * radius + 1):
        row, column = round(distance * math.sin(angle)), round(distance * math.cos(angle))
        kernel[2 * radius + row, 2 * radius + column] += math.exp(-(distance**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    slow = cv2.filter2D(photograph.astype(np.float64), -1, kernel, borderType=cv2.BORDER_REPLICATE)
    assert psnr(blurred.image, slow) > 45


@pytest.mark.parametrize(
    ("noise", "slow"),
    [
        (GaussianNoiseConfig(severity=2), lambda x, rng: x + rng.normal(0, 0.12, x.shape)),
        (SpeckleNoiseConfig(severity=3), lambda x, rng: x + x * rng.normal(0, 0.35, x.shape)),
        (ShotNoiseConfig(severity=4), lambda x, rng: rng.poisson(x * 5) / 5),
    ],
    ids=["gaussian", "speckle", "shot"],
)
def test_tabulated_noise_has_the_moments_of_drawn_noise(photograph, noise, slow):
    fast = noise.degrade(photograph, np.random.default_rng(0)).image / 255
    drawn = np.clip(slow(photograph / 255, np.random.default_rng(1)), 0, 1)
    residual, expected = fast - photograph / 255, drawn - photograph / 255
    assert residual.std() == pytest.approx(expected.std(), rel=0.02)
    assert residual.mean() == pytest.approx(expected.mean(), abs=0.003)
    spectra = [np.abs(np.fft.rfft2(field[..., 0])) ** 2 for field in (residual, expected)]
    low, high = (spectrum[:64, :64].mean() / spectrum.mean() for spectrum in spectra)
    assert low == pytest.approx(high, rel=0.05)
