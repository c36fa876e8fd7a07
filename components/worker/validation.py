"""Validation: one cheap number of how good a network in training is, on images that it does not train on."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, UInt8

from components import seeding
from components.config import CorruptionConfig
from components.data import ShardReader, ShardSet
from components.evaluation.extractors import EfficientNetLite0Config, EfficientNetLite2Config, FidelityConfig
from components.evaluation.features import Extractor
from components.evaluation.kernel import kernel_distance
from components.recipes.recipe import Generator, Images, Missing, Producer, Reconstructor, Restorer
from components.training.selection import ValidationConfig

_GROUP = "validation/"
_SPREAD = f"{_GROUP}spread"
HALF_LIFE = f"{_GROUP}half_life"
"""Half-life, in images, of the average that scored best, where there are several; a name for the curve."""
# At 64 px, a quarter of the time of 128, for the order of networks is what counts. The second where a discriminator
# looks through the first: who taught a model may not choose among its averages.
_EXTRACTORS = (EfficientNetLite0Config(resolution=64), EfficientNetLite2Config(resolution=64))


@dataclass(frozen=True)
class Finding:
    """What one look at the network found."""

    name: str
    """What was measured, e.g. "hole_error"."""
    score: float
    """Lower is better."""
    spread: float | None
    """Standard deviation between made pictures, as a fraction of the pixel range; None where none are made."""

    def values(self) -> dict[str, float]:
        """Return what to report."""
        spread = {} if self.spread is None else {_SPREAD: self.spread}
        return {f"{_GROUP}{self.name}": self.score, **spread}


def scores_in(points: Iterable[Mapping[str, float]]) -> Iterator[tuple[str, int, float]]:
    """Yield name, images seen and score of each look that the points of a training's curve tell of."""
    for point in points:
        for name, value in point.items():
            if name.startswith(_GROUP) and name not in {_SPREAD, HALF_LIFE}:
                yield name.removeprefix(_GROUP), int(point["images"]), value


class Validation:
    """Measures a producer against the same images, masks and seeds each time, so that scores can be compared."""

    def __init__(
        self,
        producer: Producer,
        shards: ShardSet,
        corruption: CorruptionConfig | None,
        seed: int,
        config: ValidationConfig,
        taught_by: Collection[str] = (),
    ) -> None:
        """Read the images.

        Args:
            producer: What is measured.
            shards: Whose validation images it is measured on.
            corruption: What they are damaged by; None where nothing is mended.
            seed: Of damage and made pictures.
            config: How many.
            taught_by: sha256 of the weights of networks through whose features a loss looks; they do not measure.

        Raises:
            ValueError: The data set has no validation images.
        """
        reader = ShardReader(shards, "validation")
        if not len(reader):
            raise ValueError(
                f"{shards.path}: the validation split is empty, but training.validation scores on it; "
                "give the split images or remove training.validation"
            )
        self._truth: Images = reader.images(np.arange(min(config.samples, len(reader))))
        self._producer = producer
        self._samples = config.samples
        self._seed = seed
        self._corruption = corruption
        self._extractor = next(one for one in _EXTRACTORS if one.sha256 not in taught_by)
        self._name, self._score = self._measure()

    def look(self) -> Finding:
        """Measure the producer as it is now."""
        made = None
        if isinstance(self._producer, Generator):
            made = self._producer.generate(self._samples, self._seed)
        spread = None if made is None else float(made.std(axis=0, dtype=np.float64).mean() / 255)
        return Finding(self._name, self._score(made), spread)

    def _measure(self) -> tuple[str, Callable[[Images | None], float]]:
        producer, truth = self._producer, self._truth
        if isinstance(producer, Restorer):
            if self._corruption is None:
                raise ValueError("an inpainter's validation needs the corruption section")
            mix = self._corruption.mix
            drawn = [
                mix.corrupt(image, seeding.numpy_generator(self._seed, "validation", row))
                for row, image in enumerate(truth)
            ]
            corrupted, missing = np.stack([one.image for one in drawn]), np.stack([one.missing for one in drawn])
            if producer.restores_known:
                return "error", lambda made: _error(producer.restore(corrupted, missing), truth)  # noqa: ARG005
            return "hole_error", lambda made: hole_error(producer.restore(corrupted, missing), truth, missing)  # noqa: ARG005
        if isinstance(producer, Reconstructor):
            return "reconstruction_error", lambda made: _error(producer.reconstruct(truth), truth)  # noqa: ARG005
        extractor = Extractor(FidelityConfig(extractor=self._extractor))
        real = _features(extractor, truth)
        return "kernel_distance", lambda made: kernel_distance(_features(extractor, made), real)


def hole_error(restored: Images, truth: Images, missing: Missing) -> float:
    """Return the mean absolute error over all missing pixels, as a fraction of the pixel range."""
    return _error(restored[missing], truth[missing])


def _features(extractor: Extractor, images: Images) -> Float64[np.ndarray, "images features"]:
    return extractor.see(images).features.double().numpy()


def _error(found: UInt8[np.ndarray, "*shape"], expected: UInt8[np.ndarray, "*shape"]) -> float:
    return float(np.abs(found.astype(np.int16) - expected).mean() / 255) if found.size else 0.0
