"""Judges: all that looks at a set of made pictures, arranged so that each picture is seen once."""

import numpy as np

from components import distributed
from components.evaluation.classwise import class_scores
from components.evaluation.copying import Copying
from components.evaluation.evidence import Evidence
from components.evaluation.extractors import FidelityConfig
from components.evaluation.features import Pictures
from components.evaluation.fidelity import Fidelity
from components.evaluation.neighbours import sketched
from components.evaluation.protocol import Score
from components.evaluation.toning import set_toning, tones
from components.recipes.recipe import ClassGenerator, Generator


class Judges:
    """Scores sets of made pictures; every process must make one, and call `scores` with its part of the pictures."""

    def __init__(self, evidence: Evidence, fidelity: FidelityConfig) -> None:
        self.evidence = evidence
        self.fidelity = Fidelity(
            evidence.test,
            fidelity,
            evidence.test_digest,
            evidence.seed,
            device=evidence.device,
            cache=evidence.cache,
        )
        self.copying = Copying(evidence, self.fidelity) if evidence.images is None else None

    def scores(self, fakes: Pictures) -> tuple[Score, ...]:
        """Return how near the pictures are to the held-out images, in features and colours, and how many are copies.

        Returns:
            The scores in the main process, none in the others.

        Raises:
            ValueError: There are too few images, or they are not uint8 of shape (images, height, width, 3).
        """
        seen = self.fidelity.see(fakes)
        pictures = distributed.gather_rows(sketched(fakes, slice(0, len(fakes))))
        if seen is None or pictures is None:
            return ()
        made = tones(np.ascontiguousarray(pictures.permute(0, 2, 3, 1).numpy()))
        colours = set_toning(made, tones(self.evidence.test), self.evidence.test_digest, self.evidence.seed)
        copies = self.copying.scores(seen, pictures) if self.copying is not None else ()
        return (*self.fidelity.scored(seen), *colours, *copies)

    def nearest(self, pictures: Pictures) -> Pictures | None:
        """Return the training image nearest to each picture; None but in the main process, or with nothing compared."""
        known = None if self.copying is None else self.copying.known
        if known is None or not len(known.sketches):
            return None
        return self.evidence.training.take(known.nearest_images(sketched(pictures, slice(0, len(pictures)))), axis=0)

    def about(self, producer: Generator) -> tuple[Score, ...]:
        """Return what is asked of models alone: how near their classes are, and what the held-out images are worth.

        Returns:
            The scores in the main process, none in the others.
        """
        leak = self.copying.leak() if self.copying is not None else ()
        if not isinstance(producer, ClassGenerator):
            return leak
        return (*leak, *class_scores(producer, self.fidelity, self.evidence))
