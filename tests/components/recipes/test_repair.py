"""Repair mends pictures of any size and never touches a pixel that is not missing."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.models.gated_unet import GatedUnetConfig
from components.models.resnet import ResnetConfig
from components.recipes.inpainter import InpainterConfig
from components.recipes.recipe import PRODUCER
from components.recipes.repair import _shrunk, _windows, repair
from tests.components.recipes.conftest import FILLERS

RNG = np.random.default_rng(0)


class Spy:
    """A restorer that fills with 1 and notes the sizes it was given."""

    reach_px = 6.0
    restores_known = False

    def __init__(self, stride: int = 4) -> None:
        self.stride = stride
        self.sizes: list[tuple[int, int]] = []
        self.missing = 0

    def restore(self, corrupted: np.ndarray, missing: np.ndarray) -> np.ndarray:
        self.sizes.append(missing.shape[1:])
        self.missing += int(missing.sum())
        return np.where(missing[..., None], np.uint8(1), corrupted)


def picture(height: int, width: int) -> np.ndarray:
    return RNG.integers(10, 256, (height, width, 3), np.uint8)


def hole(height: int, width: int, *box: slice) -> np.ndarray:
    missing = np.zeros((height, width), bool)
    missing[box] = True
    return missing


SIZES = [(1, 1), (1, 9), (3, 2), (5, 5), (16, 16), (17, 31), (33, 64), (100, 7)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", FILLERS)
def test_any_size_is_mended_and_known_pixels_are_untouched(name, size, producers):
    image, missing = picture(*size), RNG.random(size) < 0.3
    before = image.copy()
    mended = repair(producers[name], image, missing)
    assert (mended.shape, mended.dtype) == (image.shape, np.uint8)
    assert np.array_equal(mended[~missing], image[~missing])
    assert np.array_equal(image, before)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_picture_of_which_nothing_is_known_is_filled_all_the_same(size, producers):
    mended = repair(producers["resnet"], picture(*size), np.ones(size, bool))
    assert mended.shape == (*size, 3)


def test_nothing_missing_gives_a_copy(producers):
    image = picture(20, 20)
    mended = repair(producers["resnet"], image, np.zeros((20, 20), bool))
    assert np.array_equal(mended, image)
    assert mended is not image


@settings(max_examples=30)
@given(
    height=st.integers(1, 70), width=st.integers(1, 70), seed=st.integers(0, 99), reach=st.sampled_from([1.0, 3.0, 6.0])
)
def test_every_missing_pixel_is_filled_and_no_other(height, width, seed, reach):
    rng = np.random.default_rng(seed)
    missing = np.zeros((height, width), bool)
    for _ in range(3):
        top, left = rng.integers(0, height), rng.integers(0, width)
        missing[top : top + rng.integers(1, 50), left : left + rng.integers(1, 50)] = True
    image = np.full((height, width, 3), 200, np.uint8)
    mended = repair(Spy(), np.where(missing[..., None], np.uint8(90), image), missing, reach)
    assert (mended[~missing] == 200).all()
    assert (mended[missing] < 90).any() or not missing.any()


def test_a_hole_wider_than_the_reach_starts_from_a_smaller_copy():
    spy = Spy()
    missing = hole(128, 128, slice(20, 100), slice(20, 100))
    mended = repair(spy, picture(128, 128), missing)
    assert {(128, 128), (64, 64), (32, 32)} <= set(spy.sizes)
    # The core, over 6 px from anything known, is the smaller copy's; all of it is what the network said somewhere.
    assert (mended[30:90, 30:90] == 1).all()


def test_a_network_that_sees_far_is_trusted_as_far_as_it_says():
    missing = hole(128, 128, slice(20, 100), slice(20, 100))
    far, near = Spy(), Spy()
    far.reach_px = 40.0
    repair(far, picture(128, 128), missing)
    repair(near, picture(128, 128), missing)
    assert far.sizes == [(128, 128)]
    assert len(near.sizes) > 1
    config = InpainterConfig(network=ResnetConfig(width=8, blocks=1), reach_px=40.0)
    assert config.producer(config.build(16, 1).networks[PRODUCER]).reach_px == 40.0


def test_a_narrow_hole_is_mended_at_full_size_only():
    spy = Spy()
    repair(spy, picture(128, 128), hole(128, 128, slice(0, 128), slice(60, 70)))
    assert spy.sizes == [(128, 128)]


def test_the_sizes_given_to_the_network_are_multiples_of_its_stride():
    spy = Spy(stride=8)
    repair(spy, picture(77, 51), hole(77, 51, slice(30, 36), slice(10, 20)))
    assert spy.sizes == [(80, 56)]


@pytest.mark.parametrize("size", [(512, 512), (513, 700), (1000, 530), (4, 1500)], ids=str)
def test_windows_cover_a_large_picture_and_none_exceeds_512_px(size):
    covered = np.zeros(size, int)
    for window in _windows(size):
        covered[window] += 1
        assert max(covered[window].shape) <= 512
    assert covered.min() >= 1


def test_a_picture_larger_than_a_tile_is_mended_tile_by_tile_without_a_gap():
    spy = Spy()
    missing = hole(600, 1100, slice(0, 600, 7))
    image = picture(600, 1100)
    mended = repair(spy, image, missing)
    assert max(max(size) for size in spy.sizes) == 512
    assert (mended[missing] == 1).all()
    assert np.array_equal(mended[~missing], image[~missing])
    assert spy.missing < 1.6 * missing.sum()  # overlaps are mended once, but for half their width


def test_tiles_without_holes_cost_nothing():
    spy = Spy()
    repair(spy, picture(1000, 1000), hole(1000, 1000, slice(900, 905), slice(900, 905)))
    assert len(spy.sizes) == 1


def test_a_seam_between_tiles_does_not_show(producers):
    ramp = np.linspace(40, 215, 1024).round().astype(np.uint8)
    image = np.repeat(np.broadcast_to(ramp, (64, 1024))[..., None], 3, axis=2)
    missing = hole(64, 1024, slice(28, 36))
    mended = repair(producers["resnet"], image, missing).astype(int)
    steps = np.abs(np.diff(mended[28:36, :, 0], axis=1)).max(axis=0)
    assert steps[440:520].max() <= steps[100:400].max() + 12


def test_of_a_tile_only_the_surroundings_of_its_holes_are_computed():
    spy = Spy()
    missing = hole(512, 512, slice(100, 110), slice(100, 110)) | hole(512, 512, slice(400, 410), slice(400, 410))
    image = picture(512, 512)
    mended = repair(spy, image, missing)
    assert spy.sizes == [(192, 192), (192, 192)]
    assert (mended[missing] == 1).all()
    assert np.array_equal(mended[~missing], image[~missing])


@pytest.mark.parametrize("network", [ResnetConfig(), GatedUnetConfig(width=8)], ids=["resnet", "gated_unet"])
def test_the_surroundings_of_a_hole_give_what_the_whole_tile_gives(network):
    filler = lively_restorer(network)
    image, missing = picture(512, 512), hole(512, 512, slice(250, 260), slice(130, 141))
    at_once = filler.restore(image[None], missing[None])[0]
    filler.reach_px, filler.restores_known = 6.0, False
    apart = np.abs(repair(filler, image, missing).astype(int) - at_once)[missing]
    assert apart.max() <= 1


@pytest.mark.parametrize("size", [(1400, 1300), (1401, 1303)], ids=str)
def test_steps_across_the_borders_of_tiles_are_those_inside_tiles(size):
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    image = np.stack([np.sin(rows / 31 + k) * np.cos(columns / 43) * 90 + 128 for k in range(3)], -1).astype(np.uint8)
    missing = ((rows + columns) % 40 < 10) | hole(*size, slice(430, 530), slice(380, 960))
    filler = lively_restorer(ResnetConfig(width=8))
    filler.reach_px, filler.restores_known = 6.0, False
    mended = repair(filler, image, missing).astype(int)
    borders = {448 * number + shift for number in (1, 2) for shift in (0, 32, 64)}
    for axis in (0, 1):
        both = np.logical_and(*(np.take(missing, np.arange(k, size[axis] - 1 + k), axis) for k in (0, 1)))
        steps = np.where(both, np.abs(np.diff(mended, axis=axis)).max(axis=2), 0).sum(axis=1 - axis)
        mean = steps / np.maximum(both.sum(axis=1 - axis), 1)
        across = max(mean[border - 1] for border in borders)
        inside = np.delete(mean[100:-100], [border - 1 - 100 + shift for border in borders for shift in (-1, 0, 1)])
        assert across <= np.quantile(inside, 0.99) * 1.1 + 0.2


def test_a_side_shows_the_network_a_wide_hole_whole_and_narrow_ones_at_full_size():
    spy, image = Spy(), picture(600, 800)
    missing = hole(600, 800, slice(200, 400), slice(300, 500)) | hole(600, 800, slice(500, 504), slice(20, 700))
    mended = repair(spy, image, missing, side_px=128)
    assert spy.sizes[0] == (128, 128)  # 400 px, of which the hole is half
    assert all(max(size) > 128 for size in spy.sizes[1:])
    assert (mended[210:390, 310:490] == 1).all()
    assert (mended[500:504, 20:700] == 1).all()
    assert np.array_equal(mended[~missing], image[~missing])


def test_a_hole_shown_whole_at_its_own_size_is_what_the_network_makes_of_it(producers):
    image, missing = picture(192, 192), hole(192, 192, slice(64, 128), slice(64, 128))
    mended = repair(producers["resnet"], image, missing, side_px=512)
    assert np.array_equal(mended, producers["resnet"].restore(image[None], missing[None])[0])


def test_a_side_that_the_network_cannot_take_is_refused(producers):
    with pytest.raises(ValueError, match="a side of 3 px, expected at least 16 for this network"):
        repair(producers["resnet"], picture(64, 64), hole(64, 64, slice(9), slice(9)), side_px=3)


@given(height=st.integers(1, 70), width=st.integers(1, 1100), seed=st.integers(0, 99))
def test_a_copy_made_some_rows_at_a_time_is_the_one_made_at_once(height, width, seed):
    rng = np.random.default_rng(seed)
    image, missing = rng.integers(0, 256, (2 * height, width, 3), np.uint8), rng.random((2 * height, width)) < 0.3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("components.recipes.repair._BAND_ROWS", 7)
        some = _shrunk(image, missing, (height, (width + 1) // 2))
        patch.setattr("components.recipes.repair._BAND_ROWS", 10**6)
        once = _shrunk(image, missing, (height, (width + 1) // 2))
    assert all(np.array_equal(one, other) for one, other in zip(some, once, strict=True))


def test_a_mask_of_another_size_is_refused(producers):
    with pytest.raises(ValueError, match="the mask has 8x9 pixels, the image 16x17"):
        repair(producers["resnet"], picture(17, 16), np.ones((9, 8), bool))


class Whitener(Spy):
    """A restorer of whole pictures that adds 1 to known pixels, and 100 to those near the tile's edge."""

    reach_px = 6.0
    restores_known = True

    def restore(self, corrupted: np.ndarray, missing: np.ndarray) -> np.ndarray:
        self.sizes.append(missing.shape[1:])
        told = corrupted + np.uint8(1)
        rim = np.ones(missing.shape, bool)
        rim[:, 40:-40, 40:-40] = False
        told[rim] = np.minimum(corrupted[rim], 155) + 100
        return np.where(missing[..., None], np.uint8(7), told)


def test_a_model_that_restores_everything_changes_known_pixels_and_still_fills_holes():
    image, missing = picture(60, 90) // 2, hole(60, 90, slice(20, 25), slice(30, 60))
    mended = repair(Whitener(), image, missing)
    assert (mended[missing] == 7).all()
    assert (mended[~missing] > image[~missing]).all()


def test_what_a_network_makes_of_a_tiles_edge_does_not_reach_the_picture():
    image = picture(1300, 700) // 2
    spy = Whitener()
    mended = repair(spy, image, np.zeros((1300, 700), bool))
    assert len(spy.sizes) == 8
    assert max(max(size) for size in spy.sizes) == 512
    inner = slice(40, -40), slice(40, -40)
    assert np.array_equal(mended[inner], image[inner] + 1)


def lively_restorer(network):
    """A restorer whose last layer, which starts at zero, does something."""
    config = InpainterConfig(network=network, restores="everything")
    producing = config.build(32, 1).networks[PRODUCER]
    generator = torch.Generator().manual_seed(0)
    torch.nn.init.normal_(producing.last.weight, std=0.02, generator=generator)
    return config.producer(producing)


@pytest.mark.parametrize("network", [ResnetConfig(), GatedUnetConfig(width=8)], ids=["resnet", "gated_unet"])
def test_a_picture_restored_in_tiles_equals_one_restored_at_once(network):
    rows, columns = np.mgrid[0:144, 0:840]
    image = np.stack([(np.sin(rows / 9 + k) * np.cos(columns / 13) * 90 + 128) for k in range(3)], -1).astype(np.uint8)
    restorer, missing = lively_restorer(network), np.zeros((144, 840), bool)
    at_once = restorer.restore(image[None], missing[None])[0]
    assert np.abs(at_once.astype(int) - image).mean() > 1
    in_tiles = repair(restorer, image, missing)
    assert np.abs(in_tiles.astype(int) - at_once).max() <= 1


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_whole_picture_of_any_size_is_restored(size, producers):
    mended = repair(producers["restorer"], picture(*size), RNG.random(size) < 0.1)
    assert (mended.shape, mended.dtype) == ((*size, 3), np.uint8)
