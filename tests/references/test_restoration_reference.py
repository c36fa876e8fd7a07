"""Restoration losses against slow obvious versions."""

import pytest
import torch

from components.objectives.adversarial import Hinge, NonSaturating
from components.objectives.restoration import (
    RestorationConfig,
    feature_distance,
    mask_aware_loss,
    patches_with,
    total_variation,
)


def picture(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def mask(batch=2, size=8):
    return (picture(batch, 1, size, size, seed=9) > 0.4).float()


def test_weighted_l1_is_a_loop_over_all_pixels():
    restored, target, missing = picture(2, 3, 8, 8), picture(2, 3, 8, 8, seed=1), mask()
    total = 0.0
    for image in range(2):
        for channel in range(3):
            for row in range(8):
                for column in range(8):
                    weight = 6.0 if missing[image, 0, row, column] else 0.5
                    total += weight * abs((restored - target)[image, channel, row, column].item())
    loss = RestorationConfig(hole_weight=6, valid_weight=0.5).losses(restored, target, missing)["loss"]
    assert loss.item() == pytest.approx(total / (2 * 3 * 8 * 8), rel=1e-5)


def test_total_variation_is_a_loop_over_neighbours_of_which_one_is_missing():
    image, missing = picture(2, 3, 6, 5), (picture(2, 1, 6, 5, seed=9) > 0.4).float()
    sums = {(0, 1): 0.0, (1, 0): 0.0}
    pairs = {(0, 1): 2 * 3 * 6 * 4, (1, 0): 2 * 3 * 5 * 5}
    for down, right in sums:
        for n in range(2):
            for row in range(6 - down):
                for column in range(5 - right):
                    here, there = (row, column), (row + down, column + right)
                    if missing[n, 0][here] or missing[n, 0][there]:
                        sums[down, right] += sum(abs((image[n, c][here] - image[n, c][there]).item()) for c in range(3))
    expected = sum(sums[step] / pairs[step] for step in sums)
    assert total_variation(image, missing).item() == pytest.approx(expected, rel=1e-5)


def test_a_patch_is_mended_where_any_pixel_of_its_cell_is_missing():
    missing = mask(size=8)
    cells = patches_with(missing, torch.zeros(2, 1, 4, 4))
    for n in range(2):
        for row in range(4):
            for column in range(4):
                cell = missing[n, 0, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                assert cells[n, 0, row, column] == float(cell.any())


@pytest.mark.parametrize("game", [NonSaturating(), Hinge()])
def test_the_mask_aware_loss_is_a_loop_in_which_known_patches_count_as_real(game):
    real, fake, missing = picture(2, 1, 4, 4) * 3, picture(2, 1, 4, 4, seed=1) * 3, mask(size=8)
    mended = patches_with(missing, fake)
    total = 0.0
    for place in range(2 * 16):
        says_real = lambda logit: game.real_terms(logit).item()  # noqa: E731
        total += says_real(real.flatten()[place])
        logit = fake.flatten()[place]
        total += game.fake_terms(logit).item() if mended.flatten()[place] else says_real(logit)
    assert mask_aware_loss(game, real, fake, missing).item() == pytest.approx(total / 32, rel=1e-5)


def test_feature_distance_is_the_mean_of_the_layers_mean_squared_differences():
    fake, real = [picture(2, 4, 3, 3), picture(2, 8, 1, 1)], [picture(2, 4, 3, 3, seed=1), picture(2, 8, 1, 1, seed=1)]
    expected = sum(((a - b) ** 2).sum().item() / a.numel() for a, b in zip(fake, real, strict=True)) / 2
    assert feature_distance(fake, real).item() == pytest.approx(expected, rel=1e-5)
