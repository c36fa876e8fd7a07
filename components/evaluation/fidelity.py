"""Fidelity: how near generated images are to real ones.

The values are torch-fidelity's: of its own functions or, for the Fréchet distance and the features, of faster ones that
equal them to rounding. What is known of the reference serves the model, every baseline and later evaluations.
"""

import importlib.metadata
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from components.evaluation.extractors import MINIMUM_IMAGES, FidelityConfig, pair_advice
from components.evaluation.features import Extractor, FeatureSet, Pictures
from components.evaluation.gaussian import Normal, frechet_distance
from components.evaluation.intervals import jackknife_halfwidth, random_groups
from components.evaluation.protocol import Protocol, Score
from components.evaluation.reference import measured_reference
from components.evaluation.replicates import Groups, frechet, inception_score, kernel_distances, precision_recall
from components.seeding import numpy_generator

try:
    import torch_fidelity
    from torch_fidelity.metric_isc import isc_features_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric
except RuntimeError as error:
    if "torchvision::nms" not in str(error):
        raise
    raise ImportError(pair_advice(torch.__version__, importlib.metadata.version("torchvision"))) from error

_IMAGES_PER_SPLIT = 50

Features = Float[Tensor, "images features"]


class Fidelity:
    """Scores sets of generated images against one set of real ones, whose features are extracted once.

    Processes share the work: each extracts its part, the main one computes and has the scores. Every process must make
    one, with all real images, and call `scores` equally often, with its `own_rows` of the generated images.
    """

    def __init__(
        self,
        reals: Pictures,
        fidelity: FidelityConfig,
        reference_digest: str,
        seed: int,
        *,
        device: torch.device | str = "cpu",
        cache: Path | None = None,
    ) -> None:
        _check_count(len(reals))
        self.fidelity = fidelity
        self.reference_digest = reference_digest
        self.seed = seed
        self.extractor = Extractor(fidelity, device)
        self.reference = measured_reference(reals, reference_digest, self.extractor, cache)

    def scores(self, fakes: Pictures) -> tuple[Score, ...]:
        """Return the Fréchet distance, Inception Score, kernel distance, precision and recall of `fakes`.

        Each has a 95 % interval from the delete-a-group jackknife over both sets, so it tells what other images of
        the same model and of the same source would give. The bias of the Fréchet distance in the number of images
        is not removed: the protocol holds the counts, and other counts are another protocol.

        Returns:
            The scores in the main process, none in the others.

        Raises:
            ValueError: There are too few images, or they are not uint8 of shape (images, height, width, 3).
        """
        seen = self.see(fakes)
        return () if seen is None else self.scored(seen)

    def see(self, fakes: Pictures) -> FeatureSet | None:
        """Return what all processes see of their generated images in the main process, None in the others."""
        return self.extractor.see(fakes).joined()

    def scored(self, seen: FeatureSet) -> tuple[Score, ...]:
        """Return in the main process what `scores` returns, of images that were seen.

        Raises:
            ValueError: There are too few.
        """
        if self.reference is None:
            return ()
        _check_count(len(seen.features))
        reals = self.reference.features
        distance = self._frechet(seen, self.reference.normal, reals)
        return (
            distance,
            self._inception(seen),
            self._kernel(seen.features, reals),
            *self._manifold(seen.features, reals),
        )

    def _frechet(self, fakes: FeatureSet, normal: Normal, reals: Features) -> Score:
        value = max(0.0, frechet_distance(Normal.of(fakes.features, fakes.moments), normal))
        replicates = frechet(fakes.features, reals, *self._groups(fakes.features, reals))
        protocol = self._protocol("Fréchet distance of pooled features", fakes.features, reals, {})
        return self._score("fid", value, replicates, protocol, floor=0.0)

    def _inception(self, fakes: FeatureSet) -> Score:
        count = len(fakes.logits)
        splits = max(1, min(self.fidelity.is_splits, count // _IMAGES_PER_SPLIT))
        found = isc_features_to_metric(fakes.logits, splits, shuffle=True, rng_seed=self._rng_seed)
        order = numpy_generator(self.seed, "inception score", count).permutation(count)
        groups, _ = self._groups(fakes.logits, fakes.logits)
        replicates = inception_score(fakes.logits, groups, splits, order)
        protocol = self._protocol("Inception Score of class logits", fakes.logits, None, {"splits": splits})
        return self._score(
            "is", found[torch_fidelity.KEY_METRIC_ISC_MEAN], replicates, protocol, better="higher", floor=1.0
        )

    def _kernel(self, fakes: Features, reals: Features) -> Score:
        settings = {
            "subsets": self.fidelity.kid_subsets,
            "subset_size": min(self.fidelity.kid_subset_size, len(fakes), len(reals)),
        }
        found = kid_features_to_metric(
            fakes,
            reals,
            kid_subsets=settings["subsets"],
            kid_subset_size=settings["subset_size"],
            rng_seed=self._rng_seed,
            verbose=False,
        )
        replicates = kernel_distances(fakes, reals, *self._groups(fakes, reals))
        protocol = self._protocol("kernel distance (cubic) of pooled features", fakes, reals, settings)
        return self._score("kid", found[torch_fidelity.KEY_METRIC_KID_MEAN], replicates, protocol)

    def _manifold(self, fakes: Features, reals: Features) -> Iterator[Score]:
        one, other = self._fewer(fakes, "fakes"), self._fewer(reals, "reals")
        nearest = self.fidelity.neighbours
        found = prc_features_to_metric(one, other, prc_neighborhood=nearest, verbose=False)
        replicates = precision_recall(one, other, *self._groups(one, other), nearest)
        for name, values in zip(("precision", "recall"), replicates, strict=True):
            protocol = self._protocol(f"{name} by nearest neighbours", one, other, {"neighbours": nearest})
            yield self._score(name, found[name], values, protocol, better="higher", floor=0.0, ceiling=1.0)

    def _groups(self, fakes: Tensor, reals: Tensor) -> tuple[Groups, Groups]:
        fewest = min(len(fakes), len(reals))
        groups = min(self.fidelity.interval_groups, fewest // 2)
        return (
            random_groups(len(fakes), groups, self.seed, "fakes"),
            random_groups(len(reals), groups, self.seed, "reals"),
        )

    def _fewer(self, images: Features, name: str) -> Features:
        count = len(images)
        if count <= self.fidelity.neighbour_samples:
            return images
        order = numpy_generator(self.seed, "neighbours", name, count).permutation(count)
        return images[torch.from_numpy(np.sort(order[: self.fidelity.neighbour_samples]))]

    @property
    def _rng_seed(self) -> int:
        return self.seed % 2**32

    def _protocol(self, metric: str, fakes: Tensor, reals: Tensor | None, settings: dict[str, int]) -> Protocol:
        extractor = self.fidelity.extractor
        return Protocol(
            metric=metric,
            implementation=f"torch-fidelity {torch_fidelity.__version__}",
            reference=self.reference_digest,
            samples=len(fakes),
            reference_samples=None if reals is None else len(reals),
            extractor=extractor.kind,
            extractor_sha256=extractor.sha256,
            preprocessing=extractor.preprocessing,
            seed=self.seed,
            settings=dict(settings),
        )

    def _score(
        self,
        metric: str,
        value: float,
        replicates: Float64[np.ndarray, " groups"],
        protocol: Protocol,
        *,
        better: Literal["lower", "higher"] = "lower",
        floor: float = -math.inf,
        ceiling: float = math.inf,
    ) -> Score:
        half = jackknife_halfwidth(replicates)
        return Score(
            name=self.fidelity.extractor.score_name(metric),
            value=value,
            low=min(value, max(floor, value - half)),
            high=max(value, min(ceiling, value + half)),
            better=better,
            protocol=protocol,
        )


def _check_count(images: int) -> None:
    if images < MINIMUM_IMAGES:
        raise ValueError(f"found {images} images, the scores need at least {MINIMUM_IMAGES}")
