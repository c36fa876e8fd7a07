"""Mending: how far mended pictures are from the true ones, in the hole and in all."""

from collections.abc import Callable
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Int64

from components.baselines import RestorationBaseline
from components.baselines.biharmonic import Biharmonic
from components.baselines.filling import MeanFill, NavierStokes, Telea
from components.baselines.harmonic import Harmonic
from components.baselines.interpolation import Interpolation
from components.data import FrozenImages
from components.data.statistics import demand_images
from components.evaluation.copies import LEAKED, RealDistances, leak_score
from components.evaluation.evidence import (
    NOTHING,
    SHOWN_ROWS,
    EvaluationSection,
    Evidence,
    Measured,
    made_together,
)
from components.evaluation.inside import extremes, looked_at
from components.evaluation.protocol import MODEL_ROW, Protocol, Score
from components.evaluation.restoration import restoration_scores
from components.evaluation.toning import picture_toning
from components.pictures import figures
from components.recipes.recipe import Images, Missing, Producer, RecipeSection, Restorer, RestorerRecipe
from components.recipes.repair import repair
from components.section import Grown


class RestorationEvaluation(EvaluationSection, Grown):
    """Error of mended images inside the hole and in all, per bin of missing area."""

    kind: Literal["restoration"] = "restoration"
    baselines: tuple[RestorationBaseline, ...] = (
        MeanFill(),
        Interpolation(),
        Harmonic(),
        Biharmonic(),
        Telea(),
        NavierStokes(),
    )
    """What needs no training and is scored beside the model."""
    as_repaired: bool = False
    """Judge what `kintsugi repair` makes of pictures, wide holes in smaller copies first, not what the network alone
    does: for models that learnt on squares, and are used so."""

    ADDED: ClassVar[frozenset[str]] = frozenset({"as_repaired"})

    @property
    def needs_corruption(self) -> bool:
        """Whether the frozen evaluation set is used."""
        return True

    @property
    def needs_statistics(self) -> bool:
        """Whether a baseline is told how the training images' pixels go together."""
        return any(baseline.needs_statistics for baseline in self.baselines)

    def check(self, size: int, images: int) -> None:
        """Raise ValueError unless so many training images of `size` px are enough for all baselines."""
        if self.needs_statistics:
            demand_images(images, size)

    @classmethod
    def suits(cls, recipe: RecipeSection) -> bool:
        """Return whether models of a recipe can be judged so."""
        return isinstance(recipe, RestorerRecipe)

    def measure(self, producer: Producer, evidence: Evidence) -> Measured:
        """Return the scores of a trained restorer.

        Raises:
            TypeError: It mends no pictures.
        """
        if not isinstance(producer, Restorer):
            raise TypeError(f"found a {type(producer).__name__}, expected a Restorer")
        frozen = _frozen(evidence)
        restored = _mended(self._way_of(producer), frozen)
        if restored is None:
            return NOTHING
        shown = _spread(frozen)
        panels = (
            ("Truth", frozen.images[shown]),
            ("Damaged", frozen.corrupted[shown]),
            ("Mended", restored[shown]),
            ("Error x4", figures.difference(frozen.images[shown], restored[shown])),
        )
        pictures = {"restorations": figures.panels(figures.shrunk(panels)), **extremes(restored, frozen)}
        if (seen := looked_at(producer, frozen)) is not None:
            pictures["looked_at"] = seen
        return Measured({MODEL_ROW: (*self._scores(restored, evidence), *_leak(evidence))}, pictures, panels)

    def measure_baselines(self, evidence: Evidence) -> Measured:
        """Return the scores of every baseline."""
        frozen = _frozen(evidence)
        shown = _spread(frozen)
        rows: dict[str, tuple[Score, ...]] = {}
        views = [("damaged", frozen.corrupted[shown])]
        for baseline in self.baselines:
            if (restored := _mended(baseline.knowing(evidence.statistics).restore, frozen)) is not None:
                rows[baseline.kind] = self._scores(restored, evidence)
                views.append((baseline.kind.replace("_", " "), restored[shown]))
        return Measured(rows, {"baselines": figures.panels(figures.shrunk([*views, ("truth", frozen.images[shown])]))})

    def _way_of(self, producer: Restorer) -> Callable[[Images, Missing], Images]:
        if not self.as_repaired:
            return producer.restore
        return lambda shown, missing: np.stack([repair(producer, *pair) for pair in zip(shown, missing, strict=True)])

    def _scores(self, restored: Images, evidence: Evidence) -> tuple[Score, ...]:
        frozen = _frozen(evidence)
        scores = restoration_scores(
            restored,
            frozen.images,
            frozen.missing,
            evidence.bins,
            evidence.frozen_digest,
            evidence.seed,
            _degradations(frozen),
        )
        if self.as_repaired:
            scores = tuple(_as_repaired(score) for score in scores)
        return (*scores, *picture_toning(restored, frozen.images, evidence.frozen_digest, evidence.seed))


def _as_repaired(score: Score) -> Score:
    settings = {**score.protocol.settings, "mended": "as by kintsugi repair"}
    return score.model_copy(update={"protocol": score.protocol.model_copy(update={"settings": settings})})


def _mended(restore: Callable[[Images, Missing], Images], frozen: FrozenImages) -> Images | None:
    return made_together(lambda rows: restore(frozen.corrupted[rows], frozen.missing[rows]), frozen.images)


def _leak(evidence: Evidence) -> tuple[Score, ...]:
    """Return the share of the frozen set's pictures that show what a training image shows."""
    from components.evaluation.neighbours import CANDIDATES, held_distances  # imports torch

    images = _frozen(evidence).images
    if not len(evidence.training):
        return ()
    real = RealDistances(held_distances(images, evidence.training), np.empty(0, np.float32))
    protocol = Protocol(
        metric=LEAKED,
        implementation=LEAKED,
        reference=evidence.training_digest,
        samples=len(images),
        reference_samples=len(evidence.training),
        settings={"candidates": CANDIDATES, "held": evidence.frozen_digest},
    )
    return (leak_score(real, LEAKED, protocol),)


def _frozen(evidence: Evidence) -> FrozenImages:
    if evidence.frozen is None:
        raise ValueError("restoration is measured on the frozen evaluation set, and there is none")
    return evidence.frozen


def _degradations(frozen: FrozenImages) -> dict[str, Bool[np.ndarray, " images"]]:
    """Return, for each kind of degradation, which images got it."""
    applied = [
        {step["kind"] for step in recipe["degradations"] if not step.get("left_out")} for recipe in frozen.recipes
    ]
    everything: set[str] = set().union(*applied)
    return {kind: np.array([{kind} <= one for one in applied]) for kind in sorted(everything)}


def _spread(frozen: FrozenImages) -> Int64[np.ndarray, " rows"]:
    """Return the rows to show: as many of each area bin, small holes first."""
    bins = np.unique(frozen.bins)
    each = max(1, SHOWN_ROWS // len(bins))
    return np.concatenate([np.flatnonzero(frozen.bins == number)[:each] for number in bins])
