"""Fidelity: how near generated images are to real ones; the only importer of torch_fidelity.

The values are torch-fidelity's own; features of the reference are extracted once and serve the model and every
baseline.
"""

import importlib.metadata
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from components.evaluation.extractors import ExtractorConfig, FidelityConfig, pair_advice
from components.evaluation.intervals import jackknife_halfwidth, random_groups
from components.evaluation.protocol import Protocol, Score
from components.evaluation.replicates import frechet, inception_score, kernel_distance, precision_recall
from components.seeding import numpy_generator

try:
    import torch_fidelity
    from torch_fidelity import FeatureExtractorBase
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_isc import isc_features_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY
    from torch_fidelity.utils import create_feature_extractor, get_featuresdict_from_dataset
except RuntimeError as error:
    if "torchvision::nms" not in str(error):
        raise
    raise ImportError(pair_advice(torch.__version__, importlib.metadata.version("torchvision"))) from error

MINIMUM_IMAGES = 16
_IMAGES_PER_SPLIT = 50

Pictures = UInt8[NDArray[np.uint8], "images height width 3"]


class FeatureSet(NamedTuple):
    """What an extractor sees in a set of images, on the CPU."""

    features: Float[Tensor, "images features"]
    logits: Float[Tensor, "images classes"]


class ImageSet(Dataset[Tensor]):
    """Images in memory as torch-fidelity wants them: uint8, channels first."""

    def __init__(self, images: Pictures) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> UInt8[Tensor, "3 height width"]:
        return torch.from_numpy(np.ascontiguousarray(self.images[index].transpose(2, 0, 1)))


def registered(extractor: ExtractorConfig) -> str:
    """Return the name under which torch-fidelity knows `extractor`, registering it the first time."""
    name = extractor.registered_name
    if name not in FEATURE_EXTRACTORS_REGISTRY:
        torch_fidelity.register_feature_extractor(name, _adapter(extractor))
    return name


def extract(images: Pictures, fidelity: FidelityConfig, device: torch.device | str = "cpu") -> FeatureSet:
    """Return the features and logits of `images`, computed in float32 (never TF32 or bfloat16).

    Raises:
        ValueError: There are too few images, or they are not uint8 of shape (images, height, width, 3).
    """
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise ValueError(f"expected uint8 images of shape (n, height, width, 3), found {images.dtype} {images.shape}")
    if len(images) < MINIMUM_IMAGES:
        raise ValueError(f"found {len(images)} images, the scores need at least {MINIMUM_IMAGES}")
    cuda = torch.device(device).type == "cuda"
    kind = fidelity.extractor
    weights = str(kind.weights())
    network = create_feature_extractor(
        registered(kind),
        [kind.FEATURES, kind.LOGITS],
        cuda=cuda,
        verbose=False,
        feature_extractor_weights_path=weights,
    )
    with _full_precision():
        found = get_featuresdict_from_dataset(
            ImageSet(images), network, fidelity.batch, cuda, save_cpu_ram=True, verbose=False
        )
    return FeatureSet(found[kind.FEATURES], found[kind.LOGITS])


class Fidelity:
    """Scores sets of generated images against one set of real ones, whose features are extracted once."""

    def __init__(
        self,
        reals: Pictures,
        fidelity: FidelityConfig,
        reference_digest: str,
        seed: int,
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.fidelity = fidelity
        self.reference_digest = reference_digest
        self.seed = seed
        self.device = device
        self.reals = extract(reals, fidelity, device)
        self.statistics = fid_features_to_statistics(self.reals.features)

    def scores(self, fakes: Pictures) -> tuple[Score, ...]:
        """Return the Fréchet distance, Inception Score, kernel distance, precision and recall of `fakes`.

        Each has a 95 % interval from the delete-a-group jackknife over both sets, so it tells what other images of
        the same model and of the same source would give. The bias of the Fréchet distance in the number of images
        is not removed: the protocol holds the counts, and other counts are another protocol.
        """
        seen = extract(fakes, self.fidelity, self.device)
        return (self._frechet(seen), self._inception(seen), self._kernel(seen), *self._manifold(seen))

    def _frechet(self, fakes: FeatureSet) -> Score:
        found = fid_statistics_to_metric(fid_features_to_statistics(fakes.features), self.statistics, verbose=False)
        value = max(0.0, found[torch_fidelity.KEY_METRIC_FID])
        replicates = frechet(fakes.features, self.reals.features, *self._groups(fakes, self.reals))
        protocol = self._protocol("Fréchet distance of pooled features", fakes, self.reals, {})
        return self._score("fid", value, replicates, protocol, floor=0.0)

    def _inception(self, fakes: FeatureSet) -> Score:
        count = len(fakes.logits)
        splits = max(1, min(self.fidelity.is_splits, count // _IMAGES_PER_SPLIT))
        found = isc_features_to_metric(fakes.logits, splits, shuffle=True, rng_seed=self._rng_seed)
        order = numpy_generator(self.seed, "inception score", count).permutation(count)
        groups, _ = self._groups(fakes, fakes)
        replicates = inception_score(fakes.logits, groups, splits, order)
        protocol = self._protocol("Inception Score of class logits", fakes, None, {"splits": splits})
        return self._score(
            "is", found[torch_fidelity.KEY_METRIC_ISC_MEAN], replicates, protocol, better="higher", floor=1.0
        )

    def _kernel(self, fakes: FeatureSet) -> Score:
        settings = {
            "subsets": self.fidelity.kid_subsets,
            "subset_size": min(self.fidelity.kid_subset_size, len(fakes.features), len(self.reals.features)),
        }
        found = kid_features_to_metric(
            fakes.features,
            self.reals.features,
            kid_subsets=settings["subsets"],
            kid_subset_size=settings["subset_size"],
            rng_seed=self._rng_seed,
            verbose=False,
        )
        replicates = kernel_distance(fakes.features, self.reals.features, *self._groups(fakes, self.reals))
        protocol = self._protocol("kernel distance (cubic) of pooled features", fakes, self.reals, settings)
        return self._score("kid", found[torch_fidelity.KEY_METRIC_KID_MEAN], replicates, protocol)

    def _manifold(self, fakes: FeatureSet) -> Iterator[Score]:
        one, other = self._fewer(fakes, "fakes"), self._fewer(self.reals, "reals")
        nearest = self.fidelity.neighbours
        found = prc_features_to_metric(one.features, other.features, prc_neighborhood=nearest, verbose=False)
        replicates = precision_recall(one.features, other.features, *self._groups(one, other), nearest)
        for name, values in zip(("precision", "recall"), replicates, strict=True):
            protocol = self._protocol(f"{name} by nearest neighbours", one, other, {"neighbours": nearest})
            yield self._score(name, found[name], values, protocol, better="higher", floor=0.0, ceiling=1.0)

    def _groups(self, fakes: FeatureSet, reals: FeatureSet) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
        fewest = min(len(fakes.features), len(reals.features))
        groups = min(self.fidelity.interval_groups, fewest // 2)
        return (
            random_groups(len(fakes.features), groups, self.seed, "fakes"),
            random_groups(len(reals.features), groups, self.seed, "reals"),
        )

    def _fewer(self, images: FeatureSet, name: str) -> FeatureSet:
        count = len(images.features)
        if count <= self.fidelity.neighbour_samples:
            return images
        order = numpy_generator(self.seed, "neighbours", name, count).permutation(count)
        chosen = torch.from_numpy(np.sort(order[: self.fidelity.neighbour_samples]))
        return FeatureSet(images.features[chosen], images.logits[chosen])

    @property
    def _rng_seed(self) -> int:
        return self.seed % 2**32

    def _protocol(self, metric: str, fakes: FeatureSet, reals: FeatureSet | None, settings: dict[str, int]) -> Protocol:
        extractor = self.fidelity.extractor
        return Protocol(
            metric=metric,
            implementation=f"torch-fidelity {torch_fidelity.__version__}",
            reference=self.reference_digest,
            samples=len(fakes.features),
            reference_samples=None if reals is None else len(reals.features),
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
        replicates: NDArray[np.float64],
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


def distribution_scores(
    fakes: Pictures,
    reals: Pictures,
    fidelity: FidelityConfig,
    reference_digest: str,
    seed: int,
    *,
    device: torch.device | str = "cpu",
) -> tuple[Score, ...]:
    """Return the scores of `fakes` against `reals`; where several sets meet one reference, make a `Fidelity` once.

    Args:
        fakes: Generated images.
        reals: Real images that no model was trained on.
        fidelity: Extractor and settings of the metrics.
        reference_digest: What determined `reals`: shard set and split.
        seed: Of shuffles, subsets and groups; part of the protocol.
        device: Where features are computed; the metrics themselves run on the CPU.
    """
    return Fidelity(reals, fidelity, reference_digest, seed, device=device).scores(fakes)


def _adapter(extractor: ExtractorConfig) -> type[FeatureExtractorBase]:
    """Return the class through which torch-fidelity builds and calls the network of `extractor`."""

    class Adapter(FeatureExtractorBase):  # type: ignore[misc]
        def __init__(self, name: str, features_list: list[str], **_settings: object) -> None:
            super().__init__(name, features_list)
            network = extractor.network()
            if network is None:
                raise ValueError(f"torch-fidelity has no extractor called {name!r}")
            self.network = network

        @staticmethod
        def get_provided_features_list() -> tuple[str, str]:
            return extractor.FEATURES, extractor.LOGITS

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return extractor.LOGITS if metric == "isc" else extractor.FEATURES

        @staticmethod
        def can_be_compiled() -> bool:
            return True

        @staticmethod
        def get_dummy_input_for_compile() -> UInt8[Tensor, "2 3 32 32"]:
            return torch.zeros(2, 3, 32, 32, dtype=torch.uint8)

        def forward(self, images: UInt8[Tensor, "batch 3 height width"]) -> tuple[Tensor, ...]:
            features, logits = self.network(images)
            found = {extractor.FEATURES: features, extractor.LOGITS: logits}
            return tuple(found[name] for name in self.features_list)

    return Adapter


@contextmanager
def _full_precision() -> Iterator[None]:
    """Compute in true float32 with deterministic convolutions, whatever the process uses otherwise."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
