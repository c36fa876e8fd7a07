"""Scoring: how fast 10,000 pictures are made, seen and compared, and how less precise features would change scores."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from unittest.mock import patch

import torch
import trainings
from torch import Tensor, nn
from trainings import Piece

from components.data import ShardSet, decoded_pixels
from components.evaluation import features
from components.evaluation.evidence import Evidence
from components.evaluation.extractors import FidelityConfig
from components.evaluation.features import Pictures
from components.evaluation.fidelity import Fidelity
from components.evaluation.generation import GenerationEvaluation
from components.evaluation.protocol import MODEL_ROW, Score
from components.models.efficientnet import EfficientNetLite
from components.recipes.recipe import PRODUCER, GeneratorRecipe, Producer

METRIC = "fd_efficientnet_lite0"


def pieces(scale: trainings.Scale, folder: Path) -> Iterator[Piece]:
    """Yield the whole of an evaluation, then of each arithmetic what the extractor's part takes and the score it gives.

    A score that moves by more than a tenth of its interval is not the same score.
    """
    shards = trainings.drawn(scale, folder)
    producer = _untrained(scale)
    yield Piece({"what": "all of an evaluation"}, lambda: scored(producer, shards, scale, folder, METRIC))
    yield Piece({"what": "the same once more"}, lambda: scored(producer, shards, scale, folder, METRIC))
    pictures = decoded_pixels(shards, "train", folder / "cache", 2**32)
    chosen = pictures.take(range(min(len(pictures), pictures_of(scale))), axis=0)
    reals = evidence_of(shards, scale, folder).test
    for way in _ARITHMETIC:
        yield Piece({"what": f"seen in {way}"}, lambda w=way: _seen(w, reals, chosen, shards, scale))


def pictures_of(scale: trainings.Scale) -> int:
    """Return how many pictures are scored."""
    return 64 if scale.small else 10_000


def scored(
    producer: Producer, shards: ShardSet, scale: trainings.Scale, folder: Path, metric: str
) -> dict[str, float | str]:
    """Return a score of made pictures, and how long making and scoring them took."""
    evidence = evidence_of(shards, scale, folder)
    begun = time.monotonic()
    measured = GenerationEvaluation(samples=pictures_of(scale)).measure(producer, evidence)
    seconds = time.monotonic() - begun
    return {"pictures": pictures_of(scale), "seconds": seconds} | _in_words(_named(metric, measured.rows[MODEL_ROW]))


def evidence_of(shards: ShardSet, scale: trainings.Scale, folder: Path) -> Evidence:
    """Return what generators are judged on here."""
    return Evidence(
        shards=shards,
        training=decoded_pixels(shards, "train", folder / "cache", 2**32),
        frozen=None,
        frozen_digest="",
        bins=(),
        seed=1,
        device=scale.device,
        cache=folder / "cache",
        images=None,
    )


def _untrained(scale: trainings.Scale) -> Producer:
    recipe = scale.model("sngan", 1000, {}).recipe
    assert isinstance(recipe, GeneratorRecipe)
    return recipe.producer(recipe.build(scale.size, trainings.SEED).networks[PRODUCER].to(scale.device))


def _seen(
    way: str, reals: Pictures, pictures: Pictures, shards: ShardSet, scale: trainings.Scale
) -> dict[str, float | str]:
    with _ARITHMETIC[way]():
        fidelity = Fidelity(reals, FidelityConfig(), f"{shards.digest}/test", 1, device=scale.device)
        begun = time.monotonic()
        seen = fidelity.see(pictures)
        seconds = time.monotonic() - begun
    assert seen is not None
    begun = time.monotonic()
    score = _named(METRIC, fidelity.scored(seen))
    return {"pictures": len(pictures), "seconds": seconds, "to compare": time.monotonic() - begun} | _in_words(score)


@contextmanager
def _tf32() -> Iterator[None]:
    @contextmanager
    def allowed() -> Iterator[None]:
        torch.set_float32_matmul_precision("high")
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=True):
            yield
        torch.set_float32_matmul_precision("highest")

    with patch.object(features, "_full_precision", allowed):
        yield


@contextmanager
def _bfloat16() -> Iterator[None]:
    exact = EfficientNetLite.forward

    def rounded(network: EfficientNetLite, images: Tensor) -> tuple[Tensor, Tensor]:
        layers, network.layers = network.layers, _Rounded(network.layers)
        try:
            return exact(network, images)
        finally:
            network.layers = layers

    with patch.object(EfficientNetLite, "forward", rounded):
        yield


class _Rounded(nn.Sequential):
    """Layers under autocast, whose result is given in float32 again."""

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, torch.bfloat16):
            found: Tensor = super().forward(images)
        return found.float()


_ARITHMETIC: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "float32": nullcontext,
    "TF32": _tf32,
    "bfloat16": _bfloat16,
}


def _named(metric: str, scores: Iterable[Score]) -> Score:
    return next(one for one in scores if one.name == metric)


def _in_words(score: Score) -> dict[str, float | str]:
    return {score.name: score.value, "interval": f"{score.low:.4g} to {score.high:.4g}"}
