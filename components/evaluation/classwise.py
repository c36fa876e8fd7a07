"""Classwise: how near a model's pictures of one class are to the held-out images of that class."""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from components.evaluation.evidence import Evidence
from components.evaluation.extractors import MINIMUM_IMAGES
from components.evaluation.features import Features, FeatureSet
from components.evaluation.fidelity import Fidelity
from components.evaluation.intervals import jackknife_halfwidth, random_groups
from components.evaluation.kernel import kernel_distance
from components.evaluation.protocol import Protocol, Score
from components.evaluation.replicates import kernel_distances
from components.evaluation.sharing import drawn
from components.recipes.recipe import ClassGenerator, Images

MOST_IMAGES = 500
"""Pictures made of a class, at most, and held-out images that they are compared with."""
_VERSION = "kintsugi classwise 1"


def class_scores(generator: ClassGenerator, fidelity: Fidelity, evidence: Evidence) -> tuple[Score, ...]:
    """Return the kernel distance of every class that has at least 16 held-out images, as `kid…/class_NAME`.

    The kernel distance alone, as it is unbiased where a class has few images. As many pictures are made as there are
    held-out ones, up to 500; processes share them.

    Returns:
        The scores in the main process, none in the others.
    """
    return tuple(_scores(generator, fidelity, evidence))


def _scores(generator: ClassGenerator, fidelity: Fidelity, evidence: Evidence) -> Iterator[Score]:
    labels, block = evidence.test_labels, fidelity.fidelity.batch
    for number, name in enumerate(evidence.class_names):
        places = np.flatnonzero(labels == number)[:MOST_IMAGES]
        if len(places) < MINIMUM_IMAGES or name not in generator.classes:
            continue
        made = drawn(_drawing(generator, name, evidence.seed), len(places), evidence.shards.size, block)
        seen = fidelity.see(made)
        if seen is not None and fidelity.reference is not None:
            yield _score(name, seen, fidelity.reference.features[torch.from_numpy(places)], fidelity)


def _drawing(generator: ClassGenerator, name: str, seed: int) -> Callable[[slice], Images]:
    return lambda rows: generator.generate_class(name, rows.stop - rows.start, seed, rows.start)


def _score(name: str, seen: FeatureSet, reals: Features, fidelity: Fidelity) -> Score:
    fakes, extractor = seen.features, fidelity.fidelity.extractor
    value = kernel_distance(fakes.double().numpy(), reals.double().numpy())
    groups = min(fidelity.fidelity.interval_groups, len(reals) // 2)
    parts = [random_groups(len(fakes), groups, fidelity.seed, side) for side in ("fakes", "reals")]
    half = jackknife_halfwidth(kernel_distances(fakes, reals, *parts))
    return Score(
        name=f"{extractor.score_name('kid')}/class_{name}",
        value=value,
        low=value - half,
        high=value + half,
        better="lower",
        protocol=Protocol(
            metric="kernel distance (cubic) of pooled features, of one class",
            implementation=_VERSION,
            reference=fidelity.reference_digest,
            samples=len(fakes),
            reference_samples=len(reals),
            extractor=extractor.kind,
            extractor_sha256=extractor.sha256,
            preprocessing=extractor.preprocessing,
            seed=fidelity.seed,
            settings={"class": name},
        ),
    )
