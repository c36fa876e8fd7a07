"""What a GAN leaves to its training images, and how it deals with classes."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from components.data import Batch, SplitFacts
from components.models.dcgan import DcganDiscriminatorConfig, DcganGeneratorConfig
from components.objectives.adversarial import Relativistic, Wasserstein
from components.objectives.augmentation import AugmentationConfig
from components.recipes.gan import GanConfig
from components.recipes.recipe import ClassGenerator
from components.recipes.vae import VaeConfig


def facts(samples: int, **classes: int) -> SplitFacts:
    return SplitFacts(samples=samples, shards=(), classes=classes)


@pytest.mark.parametrize(("images", "augmentation"), [(19_999, AugmentationConfig()), (20_000, False)])
def test_few_images_are_augmented_unless_told_otherwise(images, augmentation):
    assert GanConfig().resolved(facts(images)).augmentation == augmentation
    for told in (False, AugmentationConfig(colour=False)):
        assert GanConfig(augmentation=told).resolved(facts(images)).augmentation == told


def test_what_is_decided_is_told_and_what_was_said_is_not():
    assert GanConfig().decisions(3_600) == ("augmentation on, below 20,000 training images (3,600)",)
    assert GanConfig().decisions(50_000) == ("augmentation off, from 20,000 on training images (50,000)",)
    assert GanConfig(augmentation=False).decisions(3_600) == VaeConfig().decisions(3_600) == ()


def test_classes_are_filled_in_from_the_training_images_in_their_order():
    conditional = GanConfig(conditional=True)
    assert list(conditional.resolved(facts(5, cat=3, dog=2)).classes.items()) == [("cat", 3), ("dog", 2)]
    reweighted = conditional.model_copy(update={"classes": {"dog": 1, "cat": 9}})
    assert list(reweighted.resolved(facts(5, cat=3, dog=2)).classes.items()) == [("cat", 9), ("dog", 1)]


def test_missing_and_foreign_classes_are_refused_in_words():
    with pytest.raises(ValueError, match=r"the training images have no classes; set source.labels"):
        GanConfig(conditional=True).resolved(facts(5))
    with pytest.raises(ValueError, match=r"recipe.classes: dog, emu not both"):
        GanConfig(conditional=True, classes={"cat": 1, "emu": 1}).resolved(facts(5, cat=3, dog=2))
    with pytest.raises(ValidationError, match="conditional is false"):
        GanConfig(classes={"cat": 1})


@pytest.mark.parametrize("loss", [Relativistic(), Wasserstein()])
def test_both_players_feel_the_classes(loss):
    config = GanConfig(
        generator=DcganGeneratorConfig(latent=8, width=4),
        discriminator=DcganDiscriminatorConfig(width=4),
        loss=loss,
        conditional=True,
        classes={"cat": 1, "dog": 1},
    )
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1

    def losses(*labels):
        phases = config.build(16, 1).phases
        batch = Batch(images, None, None, 1, 0, 0, 4, torch.tensor(labels))
        return [phase.objective(batch, 0)["loss"].item() for phase in phases]

    one, other = losses(0, 0, 0, 0), losses(0, 1, 0, 1)
    assert all(first != second for first, second in zip(one, other, strict=True))


def test_pictures_are_of_the_class_asked_for_or_of_classes_as_frequent_as_in_training(producers):
    producer = producers["r3net_by_class"]
    assert isinstance(producer, ClassGenerator)
    assert not isinstance(producers["dcgan"], ClassGenerator)
    pure = {name: producer.generate_class(name, 200, 5).astype(int) for name in producer.classes}
    mixed = producer.generate(200, 5).astype(int)
    distances = {name: np.abs(pictures - mixed).max((1, 2, 3)) for name, pictures in pure.items()}
    assert ((distances["cat"] <= 1) ^ (distances["dog"] <= 1)).all()
    assert 0.65 < (distances["cat"] <= 1).mean() < 0.85  # three cats to a dog
    with pytest.raises(ValueError, match="class 'emu': expected one of cat, dog"):
        producer.generate_class("emu", 1, 5)
