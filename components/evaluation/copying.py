"""Copying: the scores that say whether made pictures copy training images, and whether held-out images do."""

from components import distributed
from components.evaluation.copies import COPIES, LEAKED, copies_score, leak_score
from components.evaluation.evidence import Evidence
from components.evaluation.features import FeatureSet
from components.evaluation.fidelity import Fidelity
from components.evaluation.likeness import Sketches
from components.evaluation.neighbours import CANDIDATES, measured_neighbours, sketched
from components.evaluation.protocol import Protocol, Score


class Copying:
    """Compares sets of pictures with the training images; every process must make one, the main one has the scores."""

    def __init__(self, evidence: Evidence, fidelity: Fidelity) -> None:
        self.extractor = fidelity.fidelity.extractor
        self.evidence = evidence
        held = None if fidelity.reference is None else fidelity.reference.features
        test = sketched(evidence.test, slice(0, len(evidence.test))) if distributed.is_main() else None
        self.known = measured_neighbours(
            evidence.training,
            evidence.training_digest,
            (held, test),
            evidence.test_digest,
            fidelity.extractor,
            evidence.cache,
        )

    def scores(self, seen: FeatureSet, pictures: Sketches) -> tuple[Score, ...]:
        """Return the share of near-copies among pictures; none but in the main process, or with nothing to compare.

        Args:
            seen: What the extractor sees in them.
            pictures: The pictures.
        """
        if self.known is None or not len(self.known.real.both):
            return ()
        made = self.known.nearest(seen.features, pictures)
        return (copies_score(made, self.known.real, self.extractor.score_name(COPIES), self._protocol(len(made))),)

    def leak(self) -> tuple[Score, ...]:
        """Return the share of held-out images that show what a training image shows; none but in the main process."""
        if self.known is None or not len(self.known.real.held):
            return ()
        held = self.known.real.held
        return (leak_score(self.known.real, self.extractor.score_name(LEAKED), self._protocol(len(held))),)

    def _protocol(self, samples: int) -> Protocol:
        known = self.known
        return Protocol(
            metric=COPIES,
            implementation=COPIES,
            reference=self.evidence.training_digest,
            samples=samples,
            extractor=self.extractor.kind,
            extractor_sha256=self.extractor.sha256,
            preprocessing=self.extractor.preprocessing,
            settings={
                "training": 0 if known is None else len(known.features),
                "candidates": CANDIDATES,
                "held": self.evidence.test_digest,
            },
        )
