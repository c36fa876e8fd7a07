"""DiffAugment: what changes, what does not, and that gradients pass."""

import pytest
import torch

from components.objectives import augmentation
from components.objectives.augmentation import AugmentationConfig


def images(count: int = 3, size: int = 8) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_middle_numbers_change_nothing() -> None:
    middle = torch.full((3, 5), 0.5)
    torch.testing.assert_close(AugmentationConfig().apply(images(), middle), images())


def test_each_image_depends_on_its_own_numbers_alone() -> None:
    numbers = torch.rand(3, 5, generator=torch.Generator().manual_seed(2))
    together = AugmentationConfig().apply(images(), numbers)
    alone = AugmentationConfig().apply(images()[1:2], numbers[1:2])
    torch.testing.assert_close(together[1:2], alone)


def test_a_shift_moves_pixels_and_repeats_the_border() -> None:
    picture = images(1)
    shifted = AugmentationConfig(colour=False, translation=0.25).apply(picture, torch.zeros(1, 5))
    torch.testing.assert_close(shifted[..., 2:, 2:], picture[..., :-2, :-2])
    torch.testing.assert_close(shifted[..., :2, 2:], picture[..., :1, :-2].expand(-1, -1, 2, -1))


def test_saturation_zero_is_grey_and_brightness_adds() -> None:
    numbers = torch.tensor([[1.0, 0.0, 0.5, 0.5, 0.5]])
    changed = AugmentationConfig(translation=0.0).apply(images(1), numbers)
    expected = (images(1) + 0.5).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    torch.testing.assert_close(changed, expected)


@pytest.mark.parametrize("colour", [True, False])
def test_gradients_reach_the_images(colour: bool) -> None:
    picture = images(2).requires_grad_()
    numbers = torch.rand(2, 5, generator=torch.Generator().manual_seed(3))
    AugmentationConfig(colour=colour).apply(picture, numbers).square().sum().backward()
    assert picture.grad is not None
    assert picture.grad.abs().sum() > 0


@pytest.mark.parametrize("most", [0.125, 0.5])
def test_shifts_as_a_gpu_makes_them_are_equal_to_the_bit_and_so_are_their_gradients_to_rounding(most: float) -> None:
    numbers = torch.rand(6, 2, generator=torch.Generator().manual_seed(1))
    pictures = torch.rand(6, 3, 9, 12, generator=torch.Generator().manual_seed(2)) * 2 - 1
    reach = int(most * 12)
    one, other = pictures.clone().requires_grad_(), pictures.clone().requires_grad_()
    indexed = augmentation._shifted(one, numbers, most)
    multiplied = augmentation._moved(other, torch.floor(numbers * (2 * reach + 1)).long() - reach)
    assert torch.equal(indexed, multiplied)
    weights = torch.rand(indexed.shape, generator=torch.Generator().manual_seed(3))
    (indexed * weights).sum().backward()
    (multiplied * weights).sum().backward()
    torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize(("size", "share"), [(8, 0.5), (9, 0.5), (16, 0.25)])
def test_a_cut_is_a_grey_square_around_any_pixel_and_may_reach_beyond_the_border(size: int, share: float) -> None:
    config = AugmentationConfig(colour=False, translation=0.0, cutout=share)
    side = int(share * size + 0.5)
    for place, inside in ((0.0, side - side // 2), (0.5, side)):
        numbers = torch.full((1, config.numbers), place)
        cut = config.apply(torch.ones(1, 3, size, size), numbers)
        assert int((cut == 0).sum()) == 3 * inside**2
        assert set(cut.unique().tolist()) == {0.0, 1.0}


def test_numbers_of_changes_that_came_later_come_after_those_of_the_others() -> None:
    numbers = torch.rand(3, AugmentationConfig(cutout=0.5, probability=0.5).numbers)
    assert numbers.shape == (3, 10)
    assert AugmentationConfig().numbers == 5
