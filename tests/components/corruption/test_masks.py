"""Every kind of mask: its contract, and how much it hides compared with what is published."""

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from components.corruption import CorruptionMix, MaskConfig
from components.corruption.shapes import BorderConfig, BoxesConfig, ScatterConfig
from components.corruption.strokes import StrokesConfig, WalkConfig
from components.section import kinds

EVERY_MASK = [pytest.param(kind(), id=kind.model_fields["kind"].default) for kind in kinds(MaskConfig)]
EVERY_MASK += [pytest.param(StrokesConfig(style=style), id=style) for style in ("thin", "thick")]


def areas(masks, size, count, area=(0.0, 1.0)):
    mix = CorruptionMix(masks=masks)
    blank = np.zeros((size, size, 3), dtype=np.uint8)
    drawn = [mix.corrupt(blank, np.random.default_rng(seed), area).missing.mean() for seed in range(count)]
    return np.array(drawn)


@pytest.mark.parametrize("mask", EVERY_MASK)
@pytest.mark.parametrize("size", [8, 33, 256, 300])
def test_a_mask_is_boolean_and_as_large_as_asked(mask, size):
    drawn = mask.draw(size, np.random.default_rng(0))
    assert drawn.dtype == np.bool_
    assert drawn.shape == (size, size)


@pytest.mark.parametrize("mask", EVERY_MASK)
def test_equal_generators_give_equal_masks_and_others_differ(mask):
    first, again, other = (mask.draw(64, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("mask", EVERY_MASK)
def test_an_image_too_small_for_a_mask_is_refused(mask):
    with pytest.raises(ValueError, match="found an image side of 7 px, expected at least 8 px"):
        mask.draw(7, np.random.default_rng(0))


@pytest.mark.parametrize("mask", EVERY_MASK)
def test_a_mask_hides_as_much_of_a_small_image_as_of_a_large_one(mask):
    small, large = ([mask.draw(size, np.random.default_rng(s)).mean() for s in range(100)] for size in (32, 256))
    assert abs(np.mean(small) - np.mean(large)) < 0.04
    assert abs(np.std(small) - np.std(large)) < 0.03


BOXES = {
    "medium": BoxesConfig(weight=0.3, boxes=(1, 5), side=(10 / 256, 50 / 256), margin=0),
    "thick": BoxesConfig(weight=0.3, boxes=(1, 3)),
    "train": BoxesConfig(),
}
PUBLISHED = {  # 400 masks of LaMa's own generators at 256 px: mean, deviation, 5th percentile, median, 95th
    "train": ((StrokesConfig(style="thick"), BOXES["train"]), 1.0, (0.332, 0.181, 0.083, 0.300, 0.665)),
    "thin": ((StrokesConfig(style="thin"),), 0.5, (0.277, 0.132, 0.063, 0.286, 0.465)),
    "medium": ((StrokesConfig(style="medium"), BOXES["medium"]), 0.5, (0.232, 0.123, 0.024, 0.255, 0.413)),
    "thick": ((StrokesConfig(style="thick"), BOXES["thick"]), 0.5, (0.264, 0.132, 0.065, 0.259, 0.479)),
}


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("size", [32, 256])
def test_mask_areas_match_the_published_families(name, size):
    masks, most, (mean, deviation, *percentiles) = PUBLISHED[name]
    found = areas(masks, size, 300, (0.0, most))
    assert found.mean() == pytest.approx(mean, abs=0.03)
    assert found.std() == pytest.approx(deviation, abs=0.015)
    assert np.percentile(found, [5, 50, 95]) == pytest.approx(percentiles, abs=0.05)


def test_strokes_never_cover_a_small_image_as_unscaled_settings_would():
    found = areas((StrokesConfig(style="thick"), BoxesConfig()), 32, 300)
    assert (found > 0.6).mean() < 0.15  # 0.99 when 256 px widths are used on 32 px


def test_the_border_hides_the_expected_share():
    found = [BorderConfig().draw(200, np.random.default_rng(seed)).mean() for seed in range(1000)]
    strip = (0.04 + 0.25) / 2 / 2
    none = (1 / 2) ** 4
    single = (0.04 + 0.25) / 2
    assert np.mean(found) == pytest.approx(1 - (1 - 2 * strip) ** 2 + none * single, abs=0.02)


def test_a_border_touches_the_edge_and_leaves_one_rectangle():
    for seed in range(50):
        known = ~BorderConfig().draw(64, np.random.default_rng(seed))
        rows, columns = np.flatnonzero(known.any(1)), np.flatnonzero(known.any(0))
        assert known[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert not known.all()


def test_scattered_pixels_are_independent_and_as_many_as_asked():
    drawn = ScatterConfig(fraction=(0.3, 0.3)).draw(256, np.random.default_rng(0))
    assert drawn.mean() == pytest.approx(0.3, abs=0.01)
    assert (drawn[:, 1:] & drawn[:, :-1]).mean() == pytest.approx(0.09, abs=0.01)


def test_boxes_stay_out_of_the_margin():
    masks = [BoxesConfig(margin=0.25, side=(0.1, 0.5)).draw(64, np.random.default_rng(seed)) for seed in range(50)]
    together = np.any(masks, axis=0)
    assert not together[:16].any()
    assert not together[:, 48:].any()
    assert together[16:48, 16:48].mean() > 0.9


def test_boxes_that_cannot_fit_are_refused():
    with pytest.raises(ValidationError, match="do not fit between margins"):
        BoxesConfig(margin=0.4, side=(0.5, 0.6))


def test_a_walk_is_ragged_thicker_with_its_brush_and_wider_with_its_steps():
    def mean_area(walk):
        return np.mean([walk.draw(256, np.random.default_rng(seed)).mean() for seed in range(40)])

    assert mean_area(WalkConfig()) == pytest.approx(0.19, abs=0.03)
    assert mean_area(WalkConfig(thickness=(0, 0))) < mean_area(WalkConfig(thickness=(0.03, 0.03)))
    assert mean_area(WalkConfig(steps=(0.01, 0.01))) < mean_area(WalkConfig(steps=(1, 1)))


def test_an_unknown_kind_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ValidationError, match="'boxes', 'strokes', 'walk', 'scatter', 'border'"):
        TypeAdapter(MaskConfig).validate_python({"kind": "blob"})


def test_a_range_in_the_wrong_order_is_refused():
    with pytest.raises(ValidationError, match="expected the lower number first"):
        ScatterConfig(fraction=(0.5, 0.1))
