"""The chance of augmentations follows the signs of logits, and its state is all in tensors."""

import pytest
import torch

from components.objectives.adaptation import Adaptation, AdaptiveConfig
from components.objectives.augmentation import AugmentationConfig


def sure(share: float, count: int = 100) -> torch.Tensor:
    """Return logits of which a share is above zero."""
    return torch.where(torch.arange(count) < share * count, 3.0, -0.1)


@pytest.mark.parametrize(("share", "ends"), [(1.0, 1.0), (0.5, 0.0)])
def test_the_chance_rises_while_the_discriminator_is_surer_than_the_target_and_falls_else(share, ends):
    adaptation = Adaptation(AdaptiveConfig(target=0.6, images=2_000), most=1.0)
    adaptation.chance.fill_(0.5)
    for _ in range(40):
        adaptation.follow(sure(share))
    assert adaptation.chance.item() == ends


def test_the_chance_moves_by_images_and_not_by_steps():
    found = []
    for count in (10, 100):
        adaptation = Adaptation(AdaptiveConfig(images=10_000), most=1.0)
        adaptation.certainty.fill_(1.0)
        for _ in range(1_000 // count):
            adaptation.follow(sure(1.0, count))
        found.append(adaptation.chance.item())
    assert found == [pytest.approx(0.1), pytest.approx(0.1)]


def test_the_chance_stays_under_the_most_it_may_come_to():
    adaptation = Adaptation(AdaptiveConfig(images=100), most=0.3)
    for _ in range(20):
        adaptation.follow(sure(1.0))
    assert adaptation.chance.item() == pytest.approx(0.3)


def test_one_batch_that_is_an_exception_does_not_turn_it():
    adaptation = Adaptation(AdaptiveConfig(images=10_000), most=1.0)
    adaptation.certainty.fill_(1.0)
    adaptation.follow(sure(0.5))  # a mean sign of 0, among steps of 1
    assert adaptation.certainty.item() == pytest.approx(0.75)
    assert adaptation.chance.item() > 0


def test_all_that_is_remembered_is_in_the_state():
    one, other = (Adaptation(AdaptiveConfig(images=1_000), most=1.0) for _ in range(2))
    for _ in range(3):
        one.follow(sure(1.0))
    other.load_state_dict(one.state_dict())
    one.follow(sure(0.2))
    other.follow(sure(0.2))
    assert torch.equal(one.chance, other.chance)


def test_images_are_changed_as_often_as_the_chance_says():
    config = AugmentationConfig(colour=False, translation=0.0, cutout=0.5, adaptive=AdaptiveConfig())
    numbers = torch.rand(2_000, config.numbers, generator=torch.Generator().manual_seed(1))
    pictures = torch.ones(2_000, 3, 8, 8)
    changed = (config.apply(pictures, numbers, torch.tensor(0.3)) != pictures).flatten(1).any(1)
    assert changed.float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert torch.equal(config.apply(pictures, numbers, torch.tensor(0.0)), pictures)


def test_kinds_of_changes_are_chosen_one_by_one():
    config = AugmentationConfig(probability=0.5)
    numbers = torch.full((1, config.numbers), 0.9)
    pictures = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    assert torch.equal(config.apply(pictures, numbers), pictures)
    numbers[:, -3] = 0.1  # colour alone
    only_colour = AugmentationConfig(translation=0.0).apply(pictures, numbers[:, :5])
    torch.testing.assert_close(config.apply(pictures, numbers), only_colour)
