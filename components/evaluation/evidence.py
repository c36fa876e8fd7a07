"""Evidence: what an evaluation provides, what it judges on, and what it finds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from components.data import FrozenImages, PixelSource, ShardReader, ShardSet
from components.data.statistics import Statistics
from components.deferred.torch import torch
from components.evaluation.protocol import Score
from components.evaluation.sharing import drawn, joined
from components.executors import ExecutorConfig
from components.recipes.recipe import Images, Producer, RecipeSection
from components.section import Section

SHOWN_ROWS = 10
"""Images in each row of pictures that stand beside each other."""

_BLOCK = 64

Picture = UInt8[np.ndarray, "_height _width 3"]
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Evidence:
    """What models and baselines are judged on."""

    shards: ShardSet
    training: PixelSource
    """Training images, for baselines that copy, and to see what else copies."""
    frozen: FrozenImages | None
    """Damaged test images."""
    frozen_digest: str
    bins: tuple[float, ...]
    """Edges of the frozen set's area bins."""
    seed: int
    device: torch.device
    cache: Path
    """Where what is known of the test images is kept between evaluations."""
    statistics: Statistics | None = None
    """How the training images' pixels go together; None where no baseline asks for it."""
    images: int | None = None
    """Compare with no more than so many test images, the first by key; None takes all. It is asked for to see drift,
    where no copies are looked for."""

    @cached_property
    def test(self) -> Images:
        """The test images, uint8 (n, size, size, 3)."""
        reader = ShardReader(self.shards, "test")
        return reader.images(np.arange(len(reader))[: self.images])

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes of the images, in the order of their numbers; none where they have none."""
        return tuple(self.shards.splits["test"].classes)

    @cached_property
    def test_labels(self) -> Int64[np.ndarray, " images"]:
        """The numbers of the test images' classes; empty where they have none."""
        labels = ShardReader(self.shards, "test").labels
        return np.empty(0, np.int64) if labels is None else labels[: self.images]

    @property
    def test_digest(self) -> str:
        """Name of the test images in protocols."""
        return images_name(self.shards, "test", self.images)

    @property
    def training_digest(self) -> str:
        """Name of the training images in protocols."""
        return images_name(self.shards, "train")


@dataclass(frozen=True)
class Strip:
    """Views of the same samples, one of which is seen at a time."""

    title: str
    frames: tuple[Picture, ...]
    """Of one shape."""
    places: tuple[float, ...]
    """Where each view stands: how far samples are moved, in standard deviations."""


@dataclass(frozen=True)
class Measured:
    """Scores by row, and pictures by name."""

    rows: dict[str, tuple[Score, ...]]
    pictures: dict[str, Picture]
    panels: tuple[tuple[str, Images], ...] = ()
    """Views of the same test images with their headings, each uint8 (n, size, size, 3)."""
    strips: tuple[Strip, ...] = ()
    """What a slider moves through."""


NOTHING = Measured({}, {})
"""What every process but the main one has in the end: they share the work on images, it alone scores them."""


class EvaluationSection(Section, ABC):
    """A way to judge models of the families that it suits, and what needs no training beside them."""

    kind: str

    @property
    def needs_corruption(self) -> bool:
        """Whether the frozen evaluation set is used."""
        return False

    @property
    def needs_statistics(self) -> bool:
        """Whether a baseline is told how the training images' pixels go together."""
        return False

    @property
    def compares_sets(self) -> bool:
        """Whether scores are distances between sets of images, which depend on how many images there are."""
        return False

    @property
    def features(self) -> tuple[str, ...]:
        """sha256 of the weights of each network whose features scores compare; none where pixels are compared."""
        return ()

    @property
    def is_looked_over(self) -> bool:
        """Whether `look_over` has anything to do."""
        return False

    def remarks(self, training: int, test: int) -> tuple[str, ...]:  # noqa: ARG002
        """Return what cannot be told from so many training and test images, in words, for people who plan a run."""
        return ()

    def look_over(
        self, executor: ExecutorConfig, shards: ShardSet, images: int | None, cache: Path, progress: Progress
    ) -> None:
        """Have an executor's workers take what a network sees in the images, so that `measure` finds it in the cache.

        Args:
            executor: Who looks.
            shards: What will be judged on.
            images: Of the test images no more than so many; None takes all.
            cache: The cache that the evidence will name.
            progress: Called with images done and images in all, split by split.
        """

    def check(self, size: int, images: int) -> None:
        """Raise ValueError unless so many training images of `size` px are enough for all baselines."""

    def check_held_out(self, images: int) -> None:
        """Raise ValueError unless so many held-out images are enough to judge by."""

    @classmethod
    @abstractmethod
    def suits(cls, recipe: RecipeSection) -> bool:
        """Return whether models of a recipe can be judged so."""

    @abstractmethod
    def measure(self, producer: Producer, evidence: Evidence) -> Measured:
        """Return the scores of a trained model, of a recipe that suits; `NOTHING` but in the main process."""

    @abstractmethod
    def measure_baselines(self, evidence: Evidence) -> Measured:
        """Return the scores of every baseline; rows may be missing but in the main process."""


def images_name(shards: ShardSet, split: str, most: int | None = None) -> str:
    """Return the name, in protocols and caches, of a split's images, or of no more than the first so many."""
    return f"{shards.digest}/{split}" if most is None else f"{shards.digest}/{split}[:{most}]"


def judged_by_own_features(recipe: RecipeSection, evaluation: EvaluationSection) -> str:
    """Return why an evaluation may not judge models of a recipe, trained to please it as they are; or an empty text."""
    shared = [features for features in evaluation.features if features in recipe.features_trained_on]
    if not shared:
        return ""
    return (
        f"a loss of the recipe looks through the network with weights sha256 {shared[0][:16]}…, and the evaluation "
        "compares that network's features; a judge must be one that the model was not trained on: take another "
        "extractor, or another loss or discriminator"
    )


def made_together(work: Callable[[slice], Images], like: Images) -> Images | None:
    """Return what processes make together, as many pictures as `like`, in the main process; None in the others."""
    return joined(drawn(work, len(like), like.shape[1], _BLOCK))
