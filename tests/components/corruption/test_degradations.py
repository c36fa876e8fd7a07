"""Every degradation: pure, seeded, costlier with each severity, and true to its formula."""

import json

import cv2
import numpy as np
import pytest
from pydantic import ValidationError
from skimage import data

from components.corruption import DegradationConfig
from components.corruption.defects import DeadPixelsConfig, ScratchesConfig
from components.corruption.noise import (
    GaussianNoiseConfig,
    ImpulseNoiseConfig,
    ShotNoiseConfig,
    SpeckleNoiseConfig,
)
from components.corruption.quality import ContrastConfig, ResampleConfig
from components.section import kinds

EVERY_KIND = [pytest.param(kind, id=kind.model_fields["kind"].default) for kind in kinds(DegradationConfig)]


@pytest.fixture(scope="module")
def photographs():
    return data.astronaut(), data.coffee()[:400, :400], data.chelsea()[:300, :300], data.rocket()[:400, 100:500]


def reduced(photograph, size):
    return cv2.resize(photograph, (size, size), interpolation=cv2.INTER_AREA)


def psnr(image, other):
    return 10 * np.log10(255**2 / np.mean((image.astype(float) - other) ** 2))


def flat(level, size=256):
    return np.full((size, size, 3), level, dtype=np.uint8)


@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize("size", [32, 64, 256])
def test_each_severity_costs_more_decibels_than_the_one_before(kind, size, photographs):
    images = [reduced(photograph, size) for photograph in photographs]
    repeats = range(8 if size < 256 else 2)
    decibels = [
        np.mean(
            [
                psnr(image, kind(severity=severity).degrade(image, np.random.default_rng(100 * repeat + place)).image)
                for place, image in enumerate(images)
                for repeat in repeats
            ]
        )
        for severity in (1, 2, 3, 4, 5)
    ]
    assert all(np.diff(decibels) < -0.1), decibels
    assert decibels[0] < 45


@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize("shape", [(8, 8, 3), (32, 32, 3), (130, 257, 3)])
def test_a_degradation_keeps_type_and_shape_and_leaves_its_input_alone(kind, shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    before = image.copy()
    for severity in (1, 5):
        degraded = kind(severity=severity).degrade(image, np.random.default_rng(1))
        assert degraded.image.dtype == np.uint8
        assert degraded.image.shape == shape
        assert not np.shares_memory(degraded.image, image)
        assert np.array_equal(image, before)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_equal_generators_give_equal_damage(kind, photographs):
    image = reduced(photographs[0], 64)
    first, again = (kind().degrade(image, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first.image, again.image)
    assert first.recipe == again.recipe


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_the_recipe_is_json_and_names_kind_severity_and_parameters(kind, photographs):
    recipe = kind(severity=4).degrade(reduced(photographs[0], 32), np.random.default_rng(0)).recipe
    assert json.loads(json.dumps(recipe)) == recipe
    assert recipe["kind"] == kind.model_fields["kind"].default
    assert recipe["severity"] == 4
    assert len(recipe) >= 3


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_only_defects_hide_pixels_and_every_pixel_they_change_is_marked(kind, photographs):
    for size in (32, 256):
        image = reduced(photographs[2], size)
        degraded = kind(severity=5).degrade(image, np.random.default_rng(0))
        assert (degraded.missing is not None) == kind.marks_missing
        if degraded.missing is not None:
            assert degraded.missing.any()
            assert np.array_equal(degraded.image[~degraded.missing], image[~degraded.missing])


def test_several_severities_are_drawn_with_equal_chance():
    noise, rng = GaussianNoiseConfig(severity=(1, 5)), np.random.default_rng(0)
    drawn = [noise.degrade(flat(99, 8), rng).recipe["severity"] for _ in range(200)]
    assert set(drawn) == {1, 5}
    assert 70 < drawn.count(1) < 130


@pytest.mark.parametrize("severity", [0, 6, (), (1, 9)])
def test_a_severity_outside_one_to_five_is_refused(severity):
    with pytest.raises(ValidationError):
        GaussianNoiseConfig(severity=severity)


@pytest.mark.parametrize(
    ("size", "sigma"), [(8, 0.04), (45, 0.04), (46, 0.04), (64, 0.04), (119, 0.04), (120, 0.08), (512, 0.08)]
)
def test_the_table_of_the_nearest_published_size_is_used(size, sigma):
    assert GaussianNoiseConfig(severity=1).degrade(flat(0, size), np.random.default_rng(0)).recipe["sigma"] == sigma


def test_the_columns_change_at_the_logarithmic_middle():
    def factor(size):
        return ContrastConfig(severity=1).degrade(flat(0, size), np.random.default_rng(0)).recipe["factor"]

    assert [factor(size) for size in (45, 46)] == [0.75, 0.4]


@pytest.mark.parametrize("image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((8, 8, 4), np.uint8)])
@pytest.mark.usefixtures("shapes_unchecked")
def test_what_is_not_a_colour_image_is_refused(image):
    with pytest.raises(ValueError, match="expected uint8 of shape"):
        GaussianNoiseConfig().degrade(image, np.random.default_rng(0))


@pytest.mark.parametrize("level", [64, 128, 160])
def test_noise_has_the_moments_of_its_formula(level):
    x = level / 255
    for noise, deviation in (
        (GaussianNoiseConfig(severity=1), 0.08),
        (SpeckleNoiseConfig(severity=1), 0.15 * x),
        (ShotNoiseConfig(severity=1), np.sqrt(x / 60)),
    ):
        values = noise.degrade(flat(level), np.random.default_rng(0)).image / 255
        assert values.mean() == pytest.approx(x, rel=0.01), noise.kind
        assert values.std() == pytest.approx(deviation, rel=0.02), noise.kind


def test_impulses_are_half_salt_half_pepper_and_as_many_as_published():
    values = ImpulseNoiseConfig(severity=3).degrade(flat(128), np.random.default_rng(0)).image
    assert (values == 255).mean() == pytest.approx(0.045, rel=0.05)
    assert (values == 0).mean() == pytest.approx(0.045, rel=0.05)


def test_noise_is_independent_between_neighbours_and_channels():
    values = GaussianNoiseConfig(severity=1).degrade(flat(128), np.random.default_rng(0)).image / 255 - 128 / 255
    assert abs(np.mean(values[:, 1:] * values[:, :-1])) < 0.02 * values.var()
    assert abs(np.mean(values[..., 0] * values[..., 1])) < 0.02 * values.var()


def test_contrast_fades_to_the_mean_colour(photographs):
    image = reduced(photographs[1], 64)
    faded = ContrastConfig(severity=1).degrade(image, np.random.default_rng(0)).image
    mean = image.mean(axis=(0, 1))
    assert np.abs(faded - ((image - mean) * 0.4 + mean)).max() <= 0.51


def test_nearest_enlargement_shows_blocks():
    image = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    blocky = ResampleConfig(severity=2, enlarge="nearest").degrade(image, np.random.default_rng(0)).image
    assert len(np.unique(blocky.reshape(-1, 3), axis=0)) <= 128 * 128


def test_heavier_severity_hides_more():
    image = flat(128, 64)
    for kind in (ScratchesConfig, DeadPixelsConfig):
        hidden = [
            np.mean([kind(severity=s).degrade(image, np.random.default_rng(r)).missing.mean() for r in range(20)])
            for s in (1, 2, 3, 4, 5)
        ]
        assert hidden == sorted(hidden)
        assert hidden[-1] < 0.5


@pytest.mark.parametrize("factor", [2, 4])
def test_a_factor_keeps_one_pixel_of_each_square_whatever_the_severity(factor, photographs):
    image = reduced(photographs[0], 64)
    config = ResampleConfig(factor=factor, enlarge="nearest", severity=5)
    degraded = config.degrade(image, np.random.default_rng(0))
    squares = image.reshape(64 // factor, factor, 64 // factor, factor, 3).mean(axis=(1, 3))
    assert np.abs(degraded.image[::factor, ::factor] - squares).max() <= 0.5
    assert degraded.recipe["ratio"] == 1 / factor
    assert "factor" not in ResampleConfig().model_dump()
