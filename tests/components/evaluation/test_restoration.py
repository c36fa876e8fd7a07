"""Restoration scores measure the hole, the composite and the delivered picture, and stay finite."""

import numpy as np
import pytest

from components.evaluation.restoration import reconstruction_scores, restoration_scores
from components.seeding import numpy_generator


@pytest.fixture(scope="module")
def pictures():
    truth = numpy_generator(0, "truth").integers(0, 256, (12, 16, 16, 3), dtype=np.uint8)
    missing = np.zeros((12, 16, 16), dtype=bool)
    for i in range(12):
        missing[i, : i + 1, :8] = True
    return truth, missing


def named(scores):
    return {score.name: score for score in scores}


def test_perfect_pictures_score_the_cap_and_not_infinity(pictures):
    truth, missing = pictures
    scores = named(restoration_scores(truth, truth, missing, (0.0, 0.2, 0.5), "c"))
    assert scores["psnr_hole"].value == pytest.approx(10 * np.log10(12 * 255**2))
    assert scores["ssim_hole"].value == pytest.approx(1)
    assert scores["mse_composite"].value == scores["l1_full"].value == 0


def test_error_of_known_size_inside_the_hole_is_found(pictures):
    truth, missing = pictures
    flat = np.full_like(truth, 100)
    restored = np.where(missing[..., None], flat + 10, flat).astype(np.uint8)
    scores = named(restoration_scores(restored, flat, missing, (), "c"))
    assert scores["l1_hole"].value == pytest.approx(10 / 255)
    assert scores["rmse_hole"].value == pytest.approx(10 / 255)
    assert scores["mse_hole"].value == pytest.approx((10 / 255) ** 2)
    assert scores["psnr_hole"].value == pytest.approx(20 * np.log10(25.5))
    assert scores["l1_composite"].value == pytest.approx(10 / 255 * missing.mean())


def test_known_pixels_count_only_in_the_delivered_picture(pictures):
    truth, missing = pictures
    spoilt = np.where(missing[..., None], truth, 255 - truth)
    scores = named(restoration_scores(spoilt, truth, missing, (), "c"))
    assert scores["mse_hole"].value == scores["mse_composite"].value == 0
    assert scores["ssim_hole"].value == pytest.approx(1)
    assert scores["mse_full"].value > 0.1


def test_bins_hold_the_pictures_of_their_area_and_average_to_the_whole(pictures):
    truth, missing = pictures
    restored = np.where(missing[..., None], 0, truth).astype(np.uint8)
    scores = named(restoration_scores(restored, truth, missing, (0.0, 0.125, 0.5), "c"))
    small, large = scores["psnr_hole/area_0-0.125"], scores["psnr_hole/area_0.125-0.5"]
    assert (small.protocol.samples, large.protocol.samples) == (4, 8)
    whole = scores["psnr_hole"]
    assert whole.value == pytest.approx((4 * small.value + 8 * large.value) / 12)
    assert len(whole.per_image) == 12
    assert small.protocol != large.protocol


def test_picture_without_a_hole_counts_only_as_a_whole(pictures):
    truth, missing = pictures
    missing = missing.copy()
    missing[0] = False
    scores = named(restoration_scores(truth, truth, missing, (), "c"))
    assert scores["psnr_hole"].protocol.samples == 11
    assert scores["psnr_composite"].protocol.samples == 12
    assert "psnr_hole" not in named(restoration_scores(truth, truth, np.zeros_like(missing), (), "c"))


def test_protocol_names_the_corruption_set(pictures):
    truth, missing = pictures
    assert {s.protocol.reference for s in restoration_scores(truth, truth, missing, (0, 1), "digest")} == {"digest"}


@pytest.mark.parametrize("wrong", ["mask", "dtype", "shape", "empty"])
def test_arrays_that_do_not_belong_together_are_refused(pictures, wrong):
    truth, missing = pictures
    arguments = {
        "mask": (truth, truth, missing[:, :8]),
        "dtype": (truth.astype(float), truth, missing),
        "shape": (truth[:5], truth, missing),
        "empty": (truth[:0], truth[:0], missing[:0]),
    }
    with pytest.raises(ValueError, match=r"expected|match|no pictures"):
        restoration_scores(*arguments[wrong], (), "c")


def test_reconstruction_scores_have_their_own_names(pictures):
    truth, _ = pictures
    scores = named(reconstruction_scores(255 - truth, truth, "r"))
    assert set(scores) == {f"reconstruction_{m}" for m in ("psnr", "ssim", "mse", "rmse", "l1")}
    assert scores["reconstruction_psnr"].better == "higher"


def test_pictures_of_one_degradation_are_scored_apart_as_delivered(pictures):
    truth, missing = pictures
    restored = np.where(np.arange(12)[:, None, None, None] < 3, 255 - truth, truth).astype(np.uint8)
    kinds = {"jpeg": np.arange(12) < 3, "gaussian_noise": np.arange(12) >= 3, "dead_pixels": np.zeros(12, bool)}
    scores = named(restoration_scores(restored, truth, missing, (), "c", degradations=kinds))
    spoilt, whole = scores["psnr_full/degradation_jpeg"], scores["psnr_full/degradation_gaussian_noise"]
    assert (spoilt.protocol.samples, whole.protocol.samples) == (3, 9)
    assert spoilt.protocol.settings == {"degradation": "jpeg"}
    assert spoilt.value < 10 < 50 < whole.value
    assert not any("dead_pixels" in name for name in scores)


def test_pictures_of_which_nothing_is_missing_are_scored_as_delivered_only(pictures):
    truth, missing = pictures
    scores = named(restoration_scores(truth, truth, np.zeros_like(missing), (0.0, 0.5), "c"))
    assert set(scores) == {"psnr_full", "ssim_full", "mse_full", "rmse_full", "l1_full"}
