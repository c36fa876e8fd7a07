"""The pyramid fill: known pixels stay, missing ones come from their neighbours."""

import pytest
import torch

from components.models.fill import add_and_clamp, pyramid_fill


def picture(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize(("height", "width"), [(8, 8), (12, 20), (7, 5), (1, 1)])
def test_known_pixels_are_untouched_and_missing_ones_stay_between_them(height, width):
    image = picture(2, 3, height, width)
    missing = (picture(2, 1, height, width) > 0).float()
    missing[:, :, 0, 0] = 0
    filled = pyramid_fill(image, missing)
    known = (missing == 0).expand_as(image)
    assert torch.equal(filled[known], image[known])
    for picture_, mask, result in zip(image, known, filled, strict=True):
        assert result.max() <= picture_[mask].max()
        assert result.min() >= picture_[mask].min()


def test_a_hole_in_a_flat_image_becomes_flat():
    missing = torch.zeros(1, 1, 16, 16)
    missing[..., 3:12, 4:9] = 1
    torch.testing.assert_close(pyramid_fill(torch.full((1, 3, 16, 16), 0.3), missing), torch.full((1, 3, 16, 16), 0.3))


def test_an_image_without_known_pixels_becomes_mid_grey():
    assert torch.equal(pyramid_fill(picture(1, 3, 8, 8), torch.ones(1, 1, 8, 8)), torch.zeros(1, 3, 8, 8))


def test_a_pixel_beyond_the_range_is_limited_but_still_feels_its_gradient():
    guess, correction = torch.full((1, 3, 1, 1), 0.9), torch.full((1, 3, 1, 1), 0.5, requires_grad=True)
    limited = add_and_clamp(guess, correction, training=True)
    torch.testing.assert_close(limited.detach(), torch.ones(1, 3, 1, 1))
    limited.sum().backward()
    assert torch.equal(correction.grad, torch.ones(1, 3, 1, 1))
    assert torch.equal(add_and_clamp(guess, correction, training=False), torch.ones(1, 3, 1, 1))
