"""Measure: from a trained producer, or from the baselines, to scores and the pictures behind them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from components import seeding
from components.baselines import GenerationBaseline, RestorationBaseline
from components.baselines.biharmonic import Biharmonic
from components.baselines.filling import MeanFill, NavierStokes, Telea
from components.baselines.generation import Random, Template
from components.baselines.harmonic import Harmonic
from components.baselines.interpolation import Interpolation
from components.data import FrozenImages, PixelSource, ShardReader, ShardSet
from components.evaluation.extractors import FidelityConfig
from components.evaluation.likelihood import likelihood_scores
from components.evaluation.protocol import MODEL_ROW, Score
from components.evaluation.restoration import reconstruction_scores, restoration_scores
from components.evaluation.sharing import drawn, joined, own_rows
from components.pictures import figures
from components.recipes.recipe import Images, LatentModel, Missing, Reconstructor
from components.section import Section

if TYPE_CHECKING:
    from components.evaluation.fidelity import Fidelity

_SHOWN = 36
_ROWS = 10
_STEPS = 7
_CALIBRATION_IMAGES = 4096
_BLOCK = 64


@dataclass(frozen=True)
class Evidence:
    """What models and baselines are judged on."""

    shards: ShardSet
    training: PixelSource
    """Training images, for baselines that copy."""
    frozen: FrozenImages | None
    """Damaged test images."""
    frozen_digest: str
    bins: tuple[float, ...]
    """Edges of the frozen set's area bins."""
    seed: int
    device: torch.device
    cache: Path
    """Where what is known of the test images is kept between evaluations."""
    images: int | None = None
    """Compare with no more than so many test images, the first by key; None takes all."""

    @cached_property
    def test(self) -> Images:
        """The test images, uint8 (n, size, size, 3)."""
        reader = ShardReader(self.shards, "test")
        return reader.images(np.arange(len(reader))[: self.images])

    @property
    def test_digest(self) -> str:
        """Name of the test images in protocols."""
        return f"{self.shards.digest}/test" if self.images is None else f"{self.shards.digest}/test[:{self.images}]"


@dataclass(frozen=True)
class Measured:
    """Scores by row, and pictures by name: uint8 (height, width, 3)."""

    rows: dict[str, tuple[Score, ...]]
    pictures: dict[str, NDArray[np.uint8]]
    panels: tuple[tuple[str, Images], ...] = ()
    """Views of the same test images with their headings, each uint8 (n, size, size, 3)."""


NOTHING = Measured({}, {})
"""What every process but the main one has in the end: they share the work on images, it alone scores them."""


class GenerationEvaluation(Section):
    """Distance of generated images to held-out ones; reconstruction, too, for a model that can."""

    kind: Literal["generation"] = "generation"
    samples: int | None = Field(default=None, ge=16)
    """Images to generate; None makes as many as there are test images."""
    fidelity: FidelityConfig = FidelityConfig()
    """Features and how they are compared."""
    baselines: tuple[GenerationBaseline, ...] = (Random(), Template())
    """What needs no training and is scored beside the model."""

    @property
    def needs_corruption(self) -> bool:
        """Whether the frozen evaluation set is used."""
        return False

    def measure(self, producer: Any, evidence: Evidence) -> Measured:  # noqa: ANN401 - a Generator, maybe a Reconstructor
        """Return the scores of a trained generator."""
        scores, shown = self._scored(
            lambda rows: producer.generate(rows.stop - rows.start, evidence.seed, rows.start),
            self._fidelity(evidence),
            evidence,
        )
        again = None
        if isinstance(producer, Reconstructor):
            again = _all(lambda rows: producer.reconstruct(evidence.test[rows]), evidence.test)
        if shown is None:
            return NOTHING
        pictures = {"samples": figures.grid(shown, columns=12)}
        if again is not None:
            scores += reconstruction_scores(again, evidence.test, evidence.test_digest, evidence.seed)
            views = [("image", evidence.test[:_ROWS]), ("reconstruction", again[:_ROWS])]
            pictures["reconstructions"] = figures.panels(views)
        if isinstance(producer, LatentModel):
            scores += _likelihood(producer, evidence)
            pictures |= _ways(producer, evidence)
        return Measured({MODEL_ROW: scores}, pictures)

    def measure_baselines(self, evidence: Evidence) -> Measured:
        """Return the scores of every baseline."""
        everyone = evidence.training.take(np.arange(len(evidence.training)), axis=0)
        fidelity = self._fidelity(evidence)
        rows: dict[str, tuple[Score, ...]] = {}
        pictures: dict[str, NDArray[np.uint8]] = {}
        for baseline in self.baselines:
            scores, shown = self._scored(_altered(baseline, everyone, evidence), fidelity, evidence)
            if shown is not None:
                rows[baseline.kind] = scores
                pictures[baseline.kind] = figures.grid(shown, columns=12)
        return Measured(rows, pictures)

    def _scored(
        self, generate: Callable[[slice], Images], fidelity: "Fidelity", evidence: Evidence
    ) -> tuple[tuple[Score, ...], Images | None]:
        """Return the scores of what `generate` makes and the first of its pictures; none but in the main process."""
        count, block = self.samples or len(evidence.test), self.fidelity.batch
        fakes = drawn(generate, count, evidence.shards.size, block)
        first = own_rows(count, block).start
        return fidelity.scores(fakes), joined(fakes[: max(0, _SHOWN - first)])

    def _fidelity(self, evidence: Evidence) -> "Fidelity":
        # torch-fidelity imports torchvision: seconds that reading a configuration should not cost.
        from components.evaluation.fidelity import Fidelity

        return Fidelity(
            evidence.test,
            self.fidelity,
            evidence.test_digest,
            evidence.seed,
            device=evidence.device,
            cache=evidence.cache,
        )


class RestorationEvaluation(Section):
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

    @property
    def needs_corruption(self) -> bool:
        """Whether the frozen evaluation set is used."""
        return True

    def measure(self, producer: Any, evidence: Evidence) -> Measured:  # noqa: ANN401 - a Restorer
        """Return the scores of a trained restorer."""
        frozen = _frozen(evidence)
        restored = _mended(producer.restore, frozen)
        if restored is None:
            return NOTHING
        shown = _spread(frozen)
        panels = (
            ("Truth", frozen.images[shown]),
            ("Damaged", frozen.corrupted[shown]),
            ("Mended", restored[shown]),
            ("Error x4", figures.difference(frozen.images[shown], restored[shown])),
        )
        pictures = {"restorations": figures.panels(panels)}
        return Measured({MODEL_ROW: self._scores(restored, evidence)}, pictures, panels)

    def measure_baselines(self, evidence: Evidence) -> Measured:
        """Return the scores of every baseline."""
        frozen = _frozen(evidence)
        shown = _spread(frozen)
        rows: dict[str, tuple[Score, ...]] = {}
        views = [("damaged", frozen.corrupted[shown])]
        for baseline in self.baselines:
            if (restored := _mended(baseline.restore, frozen)) is not None:
                rows[baseline.kind] = self._scores(restored, evidence)
                views.append((baseline.kind.replace("_", " "), restored[shown]))
        return Measured(rows, {"baselines": figures.panels([*views, ("truth", frozen.images[shown])])})

    def _scores(self, restored: Images, evidence: Evidence) -> tuple[Score, ...]:
        frozen = _frozen(evidence)
        return restoration_scores(
            restored,
            frozen.images,
            frozen.missing,
            evidence.bins,
            evidence.frozen_digest,
            evidence.seed,
            _degradations(frozen),
        )


EvaluationConfig = Annotated[GenerationEvaluation | RestorationEvaluation, Field(discriminator="kind")]


def _likelihood(model: LatentModel, evidence: Evidence) -> tuple[Score, ...]:
    count = min(_CALIBRATION_IMAGES, len(evidence.training))
    rows = seeding.numpy_generator(evidence.seed, "calibration").permutation(len(evidence.training))[:count]
    bound = model.bound(evidence.test, evidence.training.take(rows, axis=0), evidence.seed)
    return likelihood_scores(bound, evidence.test[0].size, count, evidence.test_digest, evidence.seed)


def _ways(model: LatentModel, evidence: Evidence) -> dict[str, NDArray[np.uint8]]:
    """Return pictures of the ways between the first test images, and between the first samples, as neighbours."""
    headings = [f"{place:.0%}" for place in np.linspace(0, 1, _STEPS)]
    images = evidence.test[:_ROWS]
    first, second = images[:-1:2], images[1::2]
    codes = zip(headings, model.between(first, second, _STEPS), strict=True)
    draws = zip(headings, model.between_draws(_ROWS // 2, _STEPS, evidence.seed), strict=True)
    return {
        "interpolations": figures.panels([("image", first), *codes, ("image ", second)]),
        "interpolations_of_samples": figures.panels(list(draws)),
    }


def _all(work: Callable[[slice], Images], like: Images) -> Images | None:
    """Return what processes make together, as many pictures as `like`, in the main process; None in the others."""
    return joined(drawn(work, len(like), like.shape[1], _BLOCK))


def _altered(baseline: GenerationBaseline, everyone: Images, evidence: Evidence) -> Callable[[slice], Images]:
    size, seed = evidence.shards.size, evidence.seed
    return lambda rows: baseline.generate(rows.stop - rows.start, size, everyone, seed, rows.start)


def _mended(restore: Callable[[Images, Missing], Images], frozen: FrozenImages) -> Images | None:
    return _all(lambda rows: restore(frozen.corrupted[rows], frozen.missing[rows]), frozen.images)


def _frozen(evidence: Evidence) -> FrozenImages:
    if evidence.frozen is None:
        raise ValueError("restoration is measured on the frozen evaluation set, and there is none")
    return evidence.frozen


def _degradations(frozen: FrozenImages) -> dict[str, NDArray[np.bool_]]:
    """Return, for each kind of degradation, which images got it."""
    applied = [
        {step["kind"] for step in recipe["degradations"] if not step.get("left_out")} for recipe in frozen.recipes
    ]
    everything: set[str] = set().union(*applied)
    return {kind: np.array([{kind} <= one for one in applied]) for kind in sorted(everything)}


def _spread(frozen: FrozenImages) -> NDArray[np.int64]:
    """Return the rows to show: as many of each area bin, small holes first."""
    bins = np.unique(frozen.bins)
    each = max(1, _ROWS // len(bins))
    return np.concatenate([np.flatnonzero(frozen.bins == number)[:each] for number in bins])
