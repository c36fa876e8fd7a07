"""Generation: how far made pictures are from held-out ones, and what a model that has codes makes of these."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from components import seeding
from components.baselines import GenerationBaseline
from components.baselines.generation import Random, Template
from components.data import ShardSet
from components.evaluation.copies import LEFT_OUT, pictures_needed
from components.evaluation.evidence import (
    NOTHING,
    SHOWN_ROWS,
    EvaluationSection,
    Evidence,
    Measured,
    Picture,
    Progress,
    made_together,
)
from components.evaluation.extractors import MINIMUM_IMAGES, FidelityConfig
from components.evaluation.inside import ways
from components.evaluation.likelihood import likelihood_scores
from components.evaluation.protocol import MODEL_ROW, Score
from components.evaluation.restoration import reconstruction_scores
from components.evaluation.sharing import drawn, joined, own_rows
from components.executors import ExecutorConfig
from components.pictures import figures
from components.recipes.recipe import (
    Generator,
    GeneratorRecipe,
    Images,
    LatentModel,
    Producer,
    RecipeSection,
    Reconstructor,
)

if TYPE_CHECKING:
    from components.evaluation.judges import Judges

_SHOWN = 36
_STEPS = 7
_CALIBRATION_IMAGES = 4096


class GenerationEvaluation(EvaluationSection):
    """Distance of generated images to held-out ones; reconstruction, too, for a model that can."""

    kind: Literal["generation"] = "generation"
    samples: int | None = Field(default=None, ge=16)
    """Images to generate; None makes as many as there are test images."""
    fidelity: FidelityConfig = FidelityConfig()
    """Features and how they are compared."""
    baselines: tuple[GenerationBaseline, ...] = (Random(), Template())
    """What needs no training and is scored beside the model."""

    @property
    def compares_sets(self) -> bool:
        """Whether scores are distances between sets of images, which depend on how many images there are."""
        return True

    @property
    def features(self) -> tuple[str, ...]:
        """sha256 of the extractor's weights."""
        return (self.fidelity.extractor.sha256,)

    @property
    def is_looked_over(self) -> bool:
        """Whether workers have the extractor's weights: those that come in no package stay on this machine."""
        return self.fidelity.extractor.PACKAGED

    def look_over(
        self, executor: ExecutorConfig, shards: ShardSet, images: int | None, cache: Path, progress: Progress
    ) -> None:
        """Have an executor's workers take features of held-out and, where copies are looked for, of training images."""
        from components.evaluation.image_features import features_over  # imports torch, as no configuration should
        from components.evaluation.neighbours import MOST_IMAGES

        for split, most in (("test", images), *([("train", MOST_IMAGES)] if images is None else [])):
            features_over(executor, shards, split, most, self.fidelity, cache, progress)

    def remarks(self, training: int, test: int) -> tuple[str, ...]:
        """Return from how many pictures on copies are seen, where fewer are drawn."""
        made = self.samples or test
        needed = pictures_needed(test + min(training, LEFT_OUT))
        if needed is not None and made >= needed:
            return ()
        enough = "there are too few real images" if needed is None else f"{needed:,} are needed"
        return (f"one copy in 100 pictures may go unseen: {made:,} are drawn, {enough}",)

    def check_held_out(self, images: int) -> None:
        """Raise ValueError unless so many held-out images are enough to judge by."""
        if images < MINIMUM_IMAGES:
            raise ValueError(
                f"its scores need at least {MINIMUM_IMAGES} test images; add images, or raise dataset.split.test"
            )

    @classmethod
    def suits(cls, recipe: RecipeSection) -> bool:
        """Return whether models of a recipe can be judged so."""
        return isinstance(recipe, GeneratorRecipe)

    def measure(self, producer: Producer, evidence: Evidence) -> Measured:
        """Return the scores of a trained generator.

        Raises:
            TypeError: It makes no pictures.
        """
        if not isinstance(producer, Generator):
            raise TypeError(f"found a {type(producer).__name__}, expected a Generator")
        judges = self._judges(evidence)
        scores, shown = self._scored(
            lambda rows: producer.generate(rows.stop - rows.start, evidence.seed, rows.start), judges, evidence
        )
        scores += judges.about(producer)
        again = None
        if isinstance(producer, Reconstructor):
            again = made_together(lambda rows: producer.reconstruct(evidence.test[rows]), evidence.test)
        if shown is None:
            return NOTHING
        pictures = {"samples": figures.grid(shown, columns=12)}
        if again is not None:
            scores += reconstruction_scores(again, evidence.test, evidence.test_digest, evidence.seed)
            views = [("image", evidence.test[:SHOWN_ROWS]), ("reconstruction", again[:SHOWN_ROWS])]
            pictures["reconstructions"] = figures.panels(views)
        if isinstance(producer, LatentModel):
            scores += _likelihood(producer, evidence)
            pictures |= _ways(producer, evidence)
        if (nearest := judges.nearest(shown[:SHOWN_ROWS])) is not None:
            views = [("sample", shown[:SHOWN_ROWS]), ("nearest training image", nearest)]
            pictures["nearest"] = figures.panels(figures.shrunk(views))
        return Measured({MODEL_ROW: scores}, pictures, strips=ways(producer, evidence.seed))

    def measure_baselines(self, evidence: Evidence) -> Measured:
        """Return the scores of every baseline."""
        everyone = evidence.training.take(np.arange(len(evidence.training)), axis=0)
        judges = self._judges(evidence)
        rows: dict[str, tuple[Score, ...]] = {}
        pictures: dict[str, Picture] = {}
        for baseline in self.baselines:
            scores, shown = self._scored(_altered(baseline, everyone, evidence), judges, evidence)
            if shown is not None:
                rows[baseline.kind] = scores
                pictures[baseline.kind] = figures.grid(shown, columns=12)
        return Measured(rows, pictures)

    def _scored(
        self, generate: Callable[[slice], Images], judges: "Judges", evidence: Evidence
    ) -> tuple[tuple[Score, ...], Images | None]:
        """Return the scores of what `generate` makes and the first of its pictures; none but in the main process."""
        count, block = self.samples or len(evidence.test), self.fidelity.batch
        fakes = drawn(generate, count, evidence.shards.size, block)
        first = own_rows(count, block).start
        return judges.scores(fakes), joined(fakes[: max(0, _SHOWN - first)])

    def _judges(self, evidence: Evidence) -> "Judges":
        # torch-fidelity imports torchvision: seconds that reading a configuration should not cost.
        from components.evaluation.judges import Judges

        return Judges(evidence, self.fidelity)


def _likelihood(model: LatentModel, evidence: Evidence) -> tuple[Score, ...]:
    count = min(_CALIBRATION_IMAGES, len(evidence.training))
    rows = seeding.numpy_generator(evidence.seed, "calibration").permutation(len(evidence.training))[:count]
    bound = model.bound(evidence.test, evidence.training.take(rows, axis=0), evidence.seed)
    return likelihood_scores(bound, evidence.test[0].size, evidence.test_digest, evidence.seed)


def _ways(model: LatentModel, evidence: Evidence) -> dict[str, Picture]:
    """Return pictures of the ways between the first test images, and between the first samples, as neighbours."""
    headings = [f"{place:.0%}" for place in np.linspace(0, 1, _STEPS)]
    images = evidence.test[:SHOWN_ROWS]
    first, second = images[:-1:2], images[1::2]
    codes = zip(headings, model.between(first, second, _STEPS), strict=True)
    draws = zip(headings, model.between_draws(SHOWN_ROWS // 2, _STEPS, evidence.seed), strict=True)
    return {
        "interpolations": figures.panels([("image", first), *codes, ("image ", second)]),
        "interpolations_of_samples": figures.panels(list(draws)),
    }


def _altered(baseline: GenerationBaseline, everyone: Images, evidence: Evidence) -> Callable[[slice], Images]:
    size, seed = evidence.shards.size, evidence.seed
    return lambda rows: baseline.generate(rows.stop - rows.start, size, everyone, seed, rows.start)
