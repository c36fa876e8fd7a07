"""CorruptionMix: seeded per sample, bounded in area, always ending, and telling what it did."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from components.corruption import CorruptionMix, DegradationConfig, MaskConfig
from components.corruption.area import allowed_pixels, fitted
from components.corruption.defects import DeadPixelsConfig, ScratchesConfig
from components.corruption.noise import GaussianNoiseConfig
from components.corruption.quality import JpegConfig
from components.corruption.shapes import BorderConfig, BoxesConfig, ScatterConfig
from components.corruption.strokes import StrokesConfig
from components.section import kinds

EVERYTHING = CorruptionMix(
    masks=tuple(kind() for kind in kinds(MaskConfig)),
    degradations=tuple(kind() for kind in kinds(DegradationConfig)),
)
BINS = [(0.0, 0.01), (0.01, 0.1), (0.1, 0.2), (0.2, 0.3), (0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (0.9, 1.0)]


def pictures(count, side=32):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def test_a_batch_is_equal_however_it_is_split_and_ordered():
    images, keys, passes = pictures(12), [f"k{place}" for place in range(12)], [0, 1, 2] * 4
    corrupted, missing = EVERYTHING.corrupt_batch(images, keys, passes, seed=7)
    for part in (slice(0, 5), slice(5, 12), [11, 3, 4]):
        chosen = np.arange(12)[part]
        alone = EVERYTHING.corrupt_batch(images[part], [keys[c] for c in chosen], [passes[c] for c in chosen], seed=7)
        assert np.array_equal(alone[0], corrupted[part])
        assert np.array_equal(alone[1], missing[part])


def test_key_pass_and_seed_each_change_the_damage():
    image = pictures(1)
    masks = [
        CorruptionMix().corrupt_batch(image, [key], [number], seed)[1]
        for key, number, seed in (("a", 0, 0), ("b", 0, 0), ("a", 1, 0), ("a", 0, 1))
    ]
    assert len({mask.tobytes() for mask in masks}) == 4


def test_a_batch_is_left_alone_and_comes_back_as_bytes_and_booleans():
    images = pictures(3)
    before = images.copy()
    corrupted, missing = EVERYTHING.corrupt_batch(images, ["a", "b", "c"], [0, 0, 0], seed=0)
    assert np.array_equal(images, before)
    assert (corrupted.dtype, corrupted.shape) == (np.uint8, images.shape)
    assert (missing.dtype, missing.shape) == (np.bool_, images.shape[:3])


def test_an_empty_batch_is_an_empty_batch():
    corrupted, missing = CorruptionMix().corrupt_batch(pictures(0), [], [], seed=0)
    assert len(corrupted) == len(missing) == 0


def test_a_batch_of_unequal_lengths_is_refused():
    with pytest.raises(ValueError, match="found 2 images, 1 keys and 2 passes"):
        CorruptionMix().corrupt_batch(pictures(2), ["a"], [0, 0], seed=0)


@pytest.mark.parametrize(
    "mask", [pytest.param(kind(), id=kind.model_fields["kind"].default) for kind in kinds(MaskConfig)]
)
@pytest.mark.parametrize("area", BINS)
def test_the_missing_share_lies_in_the_range_asked_for(mask, area):
    mix, image = CorruptionMix(masks=(mask,)), pictures(1)[0]
    for seed in range(3):
        result = mix.corrupt(image, np.random.default_rng(seed), area)
        assert area[0] < result.missing.mean() <= area[1]
        assert result.recipe["missing_fraction"] == pytest.approx(result.missing.mean(), abs=1e-6)


def test_the_missing_share_lies_in_the_mix_s_own_range_when_none_is_asked_for():
    mix = CorruptionMix(area=(0.25, 0.3))
    shares = [mix.corrupt(pictures(1)[0], np.random.default_rng(seed)).missing.mean() for seed in range(20)]
    assert all(0.25 < share <= 0.3 for share in shares)


def test_a_kind_that_cannot_meet_the_range_is_fitted_and_says_so():
    mix = CorruptionMix(masks=(ScatterConfig(fraction=(0.0, 0.0)),))
    first, again = (mix.corrupt(pictures(1)[0], np.random.default_rng(1), (0.2, 0.3)) for _ in range(2))
    assert first.recipe["mask"]["fitted"]
    assert 0.2 < first.missing.mean() <= 0.3
    assert np.array_equal(first.missing, again.missing)


def test_known_pixels_are_untouched_without_degradations_and_missing_ones_show_the_fill():
    image = pictures(1)[0]
    result = CorruptionMix(fill=11).corrupt(image, np.random.default_rng(0))
    assert np.array_equal(result.image[~result.missing], image[~result.missing])
    assert (result.image[result.missing] == 11).all()


def test_kinds_are_drawn_by_weight():
    mix = CorruptionMix(masks=(BoxesConfig(weight=3), ScatterConfig(weight=1)))
    drawn = [mix.corrupt(pictures(1, 8)[0], np.random.default_rng(s)).recipe["mask"]["kind"] for s in range(400)]
    assert drawn.count("boxes") / 400 == pytest.approx(0.75, abs=0.06)


def test_a_degradation_is_applied_always_or_never_as_asked():
    applied = CorruptionMix(degradations=(JpegConfig(),), degrade_fraction=1)
    recipe = applied.corrupt(pictures(1)[0], np.random.default_rng(0)).recipe
    assert [step["kind"] for step in recipe["degradations"]] == ["jpeg"]
    none = CorruptionMix(degradations=(JpegConfig(),), degrade_fraction=0)
    assert none.corrupt(pictures(1)[0], np.random.default_rng(0)).recipe["degradations"] == []


def test_the_share_of_degraded_images_is_the_one_asked_for():
    mix = CorruptionMix(degradations=(GaussianNoiseConfig(),), degrade_fraction=0.25)
    steps = [mix.corrupt(pictures(1, 8)[0], np.random.default_rng(s)).recipe["degradations"] for s in range(400)]
    assert np.mean([bool(step) for step in steps]) == pytest.approx(0.25, abs=0.06)


def test_defects_are_part_of_what_is_missing_and_come_last():
    mix = CorruptionMix(degradations=(ScratchesConfig(), GaussianNoiseConfig()), degrade_fraction=1)
    image = pictures(1, 64)[0]
    result = mix.corrupt(image, np.random.default_rng(0), (0.3, 0.6))
    assert [step["kind"] for step in result.recipe["degradations"]] == ["gaussian_noise", "scratches"]
    assert 0.3 < result.missing.mean() <= 0.6


def test_a_defect_that_would_exceed_the_range_is_left_out_and_listed():
    mix = CorruptionMix(degradations=(DeadPixelsConfig(severity=5),), degrade_fraction=1)
    image = pictures(1, 64)[0]
    result = mix.corrupt(image, np.random.default_rng(0), (0.0, 0.02))
    assert result.recipe["degradations"][0]["left_out"]
    assert result.missing.mean() <= 0.02
    assert np.array_equal(result.image[~result.missing], image[~result.missing])


def test_the_recipe_is_json_and_holds_the_mask_s_settings():
    recipe = EVERYTHING.corrupt(pictures(1)[0], np.random.default_rng(0), (0.1, 0.2)).recipe
    assert json.loads(json.dumps(recipe)) == recipe
    assert recipe["area"] == [0.1, 0.2]
    assert {"kind", "weight", "tries", "fitted"} <= set(recipe["mask"])


@pytest.mark.parametrize("area", [(0.5, 0.5), (0.6, 0.2), (-0.1, 0.5), (0.5, 1.1)])
def test_a_range_that_is_none_is_refused(area):
    with pytest.raises(ValidationError, match="expected 0 <= low < high <= 1"):
        CorruptionMix(area=area)


def test_a_range_without_a_whole_pixel_is_refused():
    with pytest.raises(ValueError, match="holds no whole number of the image's 64 pixels"):
        CorruptionMix().corrupt(pictures(1, 8)[0], np.random.default_rng(0), (0.0, 0.01))


def test_an_oblong_image_is_refused():
    with pytest.raises(ValueError, match="found an image of 8 x 9 px, expected a square one"):
        CorruptionMix().corrupt(np.zeros((8, 9, 3), np.uint8), np.random.default_rng(0))


def test_a_mix_with_neither_masks_nor_degradations_is_refused():
    with pytest.raises(ValidationError, match="found neither masks nor degradations"):
        CorruptionMix(masks=())


def test_without_masks_nothing_is_missing_but_what_defects_hide():
    image = pictures(1, 64)[0]
    noisy = CorruptionMix(masks=(), degradations=(GaussianNoiseConfig(),), degrade_fraction=1)
    result = noisy.corrupt(image, np.random.default_rng(0))
    assert not result.missing.any()
    assert not np.array_equal(result.image, image)
    assert result.recipe["mask"] == {"kind": "none"}
    scratched = CorruptionMix(masks=(), degradations=(ScratchesConfig(),), degrade_fraction=1)
    result = scratched.corrupt(image, np.random.default_rng(0))
    assert result.missing.any()
    assert (result.image[result.missing] == 127).all()
    assert np.array_equal(result.image[~result.missing], image[~result.missing])


@pytest.mark.parametrize("defect", [ScratchesConfig(severity=5), DeadPixelsConfig(severity=5)])
def test_defects_that_are_not_marked_are_shown_and_not_missing(defect):
    image = pictures(1, 64)[0]
    mix = CorruptionMix(masks=(), degradations=(defect,), degrade_fraction=1, mark_defects=False, area=(0.0, 0.01))
    result = mix.corrupt(image, np.random.default_rng(0))
    assert not result.missing.any()
    assert not np.array_equal(result.image, image)
    assert "left_out" not in result.recipe["degradations"][0]


def test_a_mix_is_the_same_after_a_trip_through_json():
    assert CorruptionMix.model_validate_json(EVERYTHING.model_dump_json()) == EVERYTHING


@settings(max_examples=60, deadline=None)
@given(
    shape=st.integers(8, 24),
    share=st.floats(0, 1),
    kept_share=st.floats(0, 1),
    bounds=st.tuples(st.floats(0, 1), st.floats(0, 1)).filter(lambda pair: pair[1] - pair[0] > 0.05),
    seed=st.integers(0, 999),
)
def test_fitting_always_ends_in_the_range_and_keeps_what_must_stay(shape, share, kept_share, bounds, seed):
    rng = np.random.default_rng(seed)
    allowed = allowed_pixels(bounds, shape * shape)
    missing = rng.random((shape, shape)) < share
    kept = np.zeros(shape * shape, dtype=bool)
    kept[rng.permutation(shape * shape)[: int(kept_share * allowed.most)]] = True
    kept = kept.reshape(shape, shape)
    result = fitted(missing, kept, allowed, rng)
    assert allowed.admits(result)
    assert not (kept & ~result).any()


def test_fitting_shrinks_and_grows_at_the_rim():
    square = np.zeros((32, 32), dtype=bool)
    square[8:24, 8:24] = True
    none, rng = np.zeros_like(square), np.random.default_rng(0)
    smaller = fitted(square, none, allowed_pixels((0.1, 0.12), 1024), rng)
    larger = fitted(square, none, allowed_pixels((0.4, 0.42), 1024), rng)
    assert not (smaller & ~square).any()
    assert not (square & ~larger).any()
    assert smaller[16, 16]
    assert not larger[0, 0]


def test_every_kind_of_mask_and_border_works_at_512_px():
    mix = CorruptionMix(masks=(StrokesConfig(style="thin"), BorderConfig()))
    result = mix.corrupt(np.zeros((512, 512, 3), np.uint8), np.random.default_rng(0))
    assert result.missing.shape == (512, 512)
