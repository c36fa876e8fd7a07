"""Restoration losses: which pixels they mind, and how their means join."""

import math

import pytest
import torch

from components.objectives.adversarial import NonSaturating
from components.objectives.restoration import (
    MaskAwareConfig,
    RestorationConfig,
    composite,
    feature_distance,
    log_squared_error,
    total_variation,
)


def given(batch=4):
    generator = torch.Generator().manual_seed(0)
    restored, target = torch.rand(2, batch, 3, 8, 8, generator=generator) * 2 - 1
    return restored, target, (torch.rand(batch, 1, 8, 8, generator=generator) < 0.3).float()


def test_the_mean_over_two_halves_is_the_loss_of_the_whole_although_their_holes_differ():
    config = RestorationConfig(total_variation=0.1, psnr_weight=0.5)
    restored, target, missing = given()
    missing[:2] = 0
    missing[0, 0, 0, 0] = 1
    whole = config.losses(restored, target, missing)["loss"]
    halves = [config.losses(restored[rows], target[rows], missing[rows])["loss"] for rows in (slice(0, 2), slice(2, 4))]
    torch.testing.assert_close(sum(halves) / 2, whole)


def test_weight_zero_for_known_pixels_makes_them_not_count():
    restored, target, missing = given()
    restored.requires_grad_()
    RestorationConfig(valid_weight=0).losses(restored, target, missing)["loss"].backward()
    assert torch.equal(restored.grad != 0, (missing == 1).expand_as(restored))


def test_a_perfect_image_costs_nothing_and_all_that_is_reported_is_scalar():
    _, target, missing = given()
    losses = RestorationConfig().losses(target, target, missing)
    assert losses.keys() == {"loss", "hole_l1", "valid_l1"}
    assert all(value.ndim == 0 and value == 0 for value in losses.values())


def test_the_psnr_term_is_the_mean_over_images_of_their_psnr_in_nats_up_to_sign_and_offset():
    restored, target, missing = given()
    squared = [
        ((image - true)[:, hole[0] == 1].double() ** 2).mean().item()
        for image, true, hole in zip(restored, target, missing, strict=True)
    ]
    psnr = [10 * math.log10(4 / mse) for mse in squared]  # a peak of 2
    expected = [-one * math.log(10) / 10 + math.log(4) for one in psnr]
    found = log_squared_error((restored - target).abs(), missing).item()
    assert found == pytest.approx(sum(expected) / len(expected), rel=1e-2)  # the floor moves it


def test_the_psnr_term_has_a_finite_gradient_where_nothing_is_missing_or_nothing_is_wrong():
    restored, target, missing = given()
    missing[0] = 0
    restored[1] = target[1]
    restored.requires_grad_()
    loss = RestorationConfig(hole_weight=0, valid_weight=0, psnr_weight=1).losses(restored, target, missing)["loss"]
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(restored.grad).all()
    assert not restored.grad[:2].any()
    assert torch.equal(restored.grad[2:] != 0, (missing[2:] == 1).expand_as(restored[2:]))


def test_smoothness_is_asked_for_beside_holes_only():
    restored, target, missing = given()
    assert total_variation(composite(restored, target, missing), torch.zeros_like(missing)) == 0
    assert total_variation(torch.ones(1, 3, 8, 8), torch.ones(1, 1, 8, 8)) == 0


def test_a_discriminator_learns_to_call_known_patches_real_and_mended_ones_made():
    logits = torch.zeros(1, 1, 2, 2, requires_grad=True)
    missing = torch.zeros(1, 1, 8, 8)
    missing[..., 1, 6] = 1
    MaskAwareConfig(game=NonSaturating()).discriminator_loss(torch.zeros(1, 1, 2, 2), logits, missing).backward()
    assert logits.grad.sign().flatten().tolist() == [-1, 1, -1, -1]


def test_features_of_true_images_get_no_gradient_and_missing_layers_are_counted():
    fake, real = (torch.ones(1, 2, 2, 2, requires_grad=True) for _ in range(2))
    feature_distance([fake], [real * 2]).backward()
    assert fake.grad is not None
    assert real.grad is None
    with pytest.raises(ValueError, match="found features of 1 and 2 layers"):
        feature_distance([fake], [real, real])


def test_the_psnr_term_hardly_tells_errors_below_one_per_cent_of_the_range_apart():
    error, missing = torch.zeros(1, 3, 8, 8), torch.ones(1, 1, 8, 8)
    exact, good, bad = (log_squared_error(error + 2 * size, missing).item() for size in (0, 0.001, 0.1))
    assert exact == pytest.approx(math.log(4 * 1e-4), abs=1e-5)  # in [-1, 1] errors are twice those in [0, 1]
    assert good - exact < 0.011
    assert bad == pytest.approx(math.log(4 * (0.01 + 1e-4)), abs=1e-5)


def test_the_psnr_term_of_whole_images_takes_every_pixel_for_a_missing_one():
    restored, target, missing = given()
    config = RestorationConfig(hole_weight=0, valid_weight=0, psnr_full_weight=2)
    loss = config.losses(restored, target, missing)["loss"]
    torch.testing.assert_close(loss, 2 * log_squared_error((restored - target).abs(), torch.ones_like(missing)))
    assert "psnr_full_weight" not in RestorationConfig().model_dump()
