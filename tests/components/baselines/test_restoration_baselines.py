"""Every restoration baseline: known pixels untouched, hidden values unseen, every extreme of a mask survived."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy.fft import idctn
from skimage import data
from skimage.transform import resize

from components.baselines import FillBaseline, FilterBaseline, RestorationBaseline
from components.baselines.filling import MeanFill
from components.baselines.filters import Bilateral, Median, Untouched
from components.baselines.gaussian import TrainingGaussian
from components.baselines.harmonic import Harmonic
from components.baselines.interpolation import Interpolation
from components.corruption import CorruptionMix
from components.corruption.noise import GaussianNoiseConfig, ImpulseNoiseConfig
from components.corruption.strokes import StrokesConfig
from components.data.statistics import measured
from components.section import kinds

_FREQUENCY = np.hypot(*np.indices((16, 16)))
_WAVES = np.random.default_rng(0).standard_normal((900, 16, 16)) / np.maximum(_FREQUENCY, 0.5) ** 1.5
KNOWN = measured(iter([idctn(_WAVES, axes=(1, 2), norm="ortho").astype(np.float32)]), 16)
"""What the training images are like, for baselines that know them."""
EVERY_KIND = [
    pytest.param(lambda kind=kind: kind().knowing(KNOWN), id=kind.model_fields["kind"].default)
    for kind in kinds(FillBaseline)
]

CLASSICAL = [one for one in EVERY_KIND if not one.values[0]().needs_statistics]
"""Those without a mean of their own, to which what is far from known pixels tends."""


@pytest.fixture(scope="module")
def pictures():
    sources = (data.astronaut(), data.coffee()[:400, :400], data.chelsea()[:300, :300], data.rocket()[:400, 100:500])
    return np.stack([(255 * resize(source, (32, 32), anti_aliasing=True)).astype(np.uint8) for source in sources])


@pytest.fixture(scope="module")
def masks(pictures):
    mix = CorruptionMix(masks=(StrokesConfig(style="thick"),))
    return np.stack([mix.corrupt(p, np.random.default_rng(n), (0.15, 0.4)).missing for n, p in enumerate(pictures)])


def decibels(restored, pictures, masks):
    return 10 * np.log10(255**2 / np.mean((restored.astype(float) - pictures)[masks] ** 2))


@pytest.mark.parametrize("kind", EVERY_KIND)
@settings(max_examples=15)
@given(
    seed=st.integers(0, 10**6),
    share=st.sampled_from([0.0, 0.01, 0.3, 0.9, 0.99, 1.0]),
    height=st.integers(8, 20),
    width=st.integers(8, 20),
)
def test_known_pixels_are_untouched_and_the_result_depends_on_them_alone(kind, seed, share, height, width):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    missing = rng.random((2, height, width)) < share
    before = images.copy()
    restored = kind().restore(images, missing)
    assert (restored.dtype, restored.shape) == (np.uint8, images.shape)
    assert np.array_equal(restored[~missing], images[~missing])
    assert np.array_equal(images, before)
    hidden_otherwise = images.copy()
    hidden_otherwise[missing] = 255 - hidden_otherwise[missing]
    assert np.array_equal(kind().restore(hidden_otherwise, missing), restored)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_nothing_missing_changes_nothing_and_gives_a_copy(kind, pictures):
    restored = kind().restore(pictures, np.zeros(pictures.shape[:3], dtype=bool))
    assert np.array_equal(restored, pictures)
    assert not np.shares_memory(restored, pictures)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_an_image_without_a_known_pixel_becomes_grey_and_spoils_no_other(kind, pictures, masks):
    missing = masks.copy()
    missing[1] = True
    restored = kind().restore(pictures, missing)
    assert (restored[1] == 127).all()
    assert np.array_equal(restored[[0, 2, 3]], kind().restore(pictures, masks)[[0, 2, 3]])


@pytest.mark.parametrize("kind", CLASSICAL)
def test_one_known_pixel_colours_the_whole_image(kind):
    images = np.full((1, 16, 16, 3), (10, 120, 240), dtype=np.uint8)
    missing = np.ones((1, 16, 16), dtype=bool)
    missing[0, 5, 9] = False
    restored = kind().restore(images, missing)
    assert np.abs(restored.astype(int) - images).max() <= 16  # OpenCV's Telea overshoots by a few per cent


@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize("known", [np.s_[3], np.s_[:, 3], np.s_[0, 0], np.s_[2:4, 2:4]], ids=str)
def test_known_pixels_in_one_line_or_corner_are_enough(kind, known, pictures):
    missing = np.ones((1, 32, 32), dtype=bool)
    missing[0][known] = False
    restored = kind().restore(pictures[:1], missing)
    assert np.array_equal(restored[~missing], pictures[:1][~missing])


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_an_image_is_mended_alike_alone_and_in_a_batch(kind, pictures, masks):
    together = kind().restore(pictures, masks)
    alone = np.concatenate([kind().restore(pictures[n : n + 1], masks[n : n + 1]) for n in range(4)])
    assert np.array_equal(together, alone)


@pytest.mark.parametrize("kind", CLASSICAL)
def test_a_flat_image_stays_flat(kind, masks):
    flat = np.full((4, 32, 32, 3), (200, 30, 90), dtype=np.uint8)
    assert np.abs(kind().restore(flat, masks).astype(int) - flat).max() <= 5  # by OpenCV's Telea; 0 by the others


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_an_empty_batch_is_an_empty_batch(kind):
    assert kind().restore(np.zeros((0, 8, 8, 3), np.uint8), np.zeros((0, 8, 8), bool)).shape == (0, 8, 8, 3)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_every_baseline_beats_the_mean_colour_or_is_it(kind, pictures, masks):
    floor = decibels(MeanFill().restore(pictures, masks), pictures, masks)
    assert decibels(kind().restore(pictures, masks), pictures, masks) >= floor


def test_the_mean_fill_is_the_mean_of_the_known_pixels():
    images = np.zeros((1, 8, 8, 3), dtype=np.uint8)
    images[0, :4] = (100, 50, 201)
    missing = np.zeros((1, 8, 8), dtype=bool)
    missing[0, 6:] = True
    assert (MeanFill().restore(images, missing)[missing] == np.rint(np.array([100, 50, 201]) * 4 / 6)).all()


def test_interpolation_reproduces_a_ramp():
    across = np.arange(32) * 4
    ramp = np.stack([np.tile(across, (32, 1)), np.tile(across[:, None], (1, 32)), across[:, None] + across], axis=-1)
    images = ramp[None].astype(np.uint8)
    missing = np.zeros((1, 32, 32), dtype=bool)
    missing[0, 8:24, 5:21] = True
    assert np.array_equal(Interpolation().restore(images, missing), images)


def test_the_harmonic_fill_stays_within_the_levels_around_the_hole(pictures):
    missing = np.zeros((4, 32, 32), dtype=bool)
    missing[:, 10:22, 10:22] = True
    restored = Harmonic().restore(pictures, missing)[:, 10:22, 10:22]
    rim = pictures[:, 9:23, 9:23]
    assert (restored.max(axis=(1, 2)) <= rim.max(axis=(1, 2)) + 1).all()
    assert (restored.min(axis=(1, 2)) >= rim.min(axis=(1, 2)).astype(int) - 1).all()


@pytest.mark.usefixtures("shapes_unchecked")
@pytest.mark.parametrize(
    ("images", "missing"),
    [
        (np.zeros((1, 8, 8, 3), np.float32), np.zeros((1, 8, 8), bool)),
        (np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), bool)),
        (np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 8, 8), np.uint8)),
        (np.zeros((1, 8, 8, 3), np.uint8), np.zeros((2, 8, 8), bool)),
    ],
)
def test_other_types_and_shapes_are_refused(images, missing):
    with pytest.raises(ValueError, match="expected"):
        MeanFill().restore(images, missing)


def test_an_unknown_baseline_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ValidationError, match="'mean_fill', 'interpolation', 'harmonic', 'biharmonic', 'telea'"):
        TypeAdapter(RestorationBaseline).validate_python({"kind": "magic"})


@pytest.mark.parametrize("kind", kinds(FilterBaseline))
def test_a_filter_reads_known_pixels_only_and_each_image_alone(kind, pictures, masks):
    before = pictures.copy()
    restored = kind().restore(pictures, masks)
    assert (restored.dtype, restored.shape) == (np.uint8, pictures.shape)
    assert np.array_equal(pictures, before)
    assert not np.shares_memory(restored, pictures)
    otherwise = np.where(masks[..., None], 255 - pictures, pictures)
    assert np.array_equal(kind().restore(otherwise, masks), restored)
    assert np.array_equal(kind().restore(pictures[2:3], masks[2:3]), restored[2:3])
    assert (kind().restore(pictures, np.ones_like(masks)) == 127).all()
    assert len(kind().restore(pictures[:0], masks[:0])) == 0


@pytest.mark.usefixtures("shapes_unchecked")
@pytest.mark.parametrize("kind", kinds(FilterBaseline))
def test_a_filter_refuses_masks_of_another_number(kind, pictures, masks):
    with pytest.raises(ValueError, match="expected"):
        kind().restore(pictures, masks[:2])


@pytest.mark.parametrize(
    ("baseline", "damage"), [(Median(), ImpulseNoiseConfig(severity=5)), (Bilateral(), GaussianNoiseConfig(severity=5))]
)
def test_a_filter_undoes_some_of_the_damage_it_is_for(baseline, damage, pictures):
    known = np.zeros(pictures.shape[:3], dtype=bool)
    noisy = np.stack([damage.degrade(one, np.random.default_rng(place)).image for place, one in enumerate(pictures)])
    everywhere = ~known
    floor = decibels(Untouched().restore(noisy, known), pictures, everywhere)
    assert decibels(baseline.restore(noisy, known), pictures, everywhere) > floor + 1


def test_a_baseline_that_knows_the_training_images_says_so_where_it_was_not_told(pictures, masks):
    with pytest.raises(ValueError, match="training_gaussian needs the statistics of the training images"):
        TrainingGaussian().knowing(None)
    with pytest.raises(ValueError, match="training_gaussian was not told the statistics"):
        TrainingGaussian().restore(pictures, masks)
