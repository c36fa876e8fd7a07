"""What mends is judged as it is used: alone, or as `repair` uses it, and the protocol says which."""

import numpy as np
import pytest
import torch

from components.data import FrozenImages
from components.evaluation.evidence import Evidence
from components.evaluation.mending import RestorationEvaluation
from components.evaluation.protocol import MODEL_ROW
from components.evaluation.restoration import restoration_scores
from components.recipes.recipe import Restorer
from components.recipes.repair import repair

SIZE, REACH = 64, 4.0
RNG = np.random.default_rng(0)


class Near(Restorer):
    """Fills a hole with the mean of the picture's known pixels, which in a small copy are others."""

    stride, reach_px, restores_known = 1, REACH, False

    def restore(self, corrupted, missing):
        filled = corrupted.copy()
        for image, hole in zip(filled, missing, strict=True):
            image[hole] = image[~hole][::7].mean(axis=0)
        return filled


@pytest.fixture
def evidence(shards, tmp_path):
    images = RNG.integers(0, 256, (4, SIZE, SIZE, 3), np.uint8)
    missing = np.zeros((4, SIZE, SIZE), bool)
    missing[:, 10:50, 10:50] = True
    corrupted = np.where(missing[..., None], np.uint8(127), images)
    frozen = FrozenImages([*"abcd"], images, missing, corrupted, [{"degradations": []}] * 4, np.zeros(4, np.int64))
    return Evidence(
        shards=shards, training=images, frozen=frozen, frozen_digest="f", bins=(0.1, 0.5), seed=1,
        device=torch.device("cpu"), cache=tmp_path,
    )  # fmt: skip


def test_scores_are_of_what_repair_makes_where_that_is_asked_for(evidence):
    alone = RestorationEvaluation().measure(Near(), evidence).rows[MODEL_ROW]
    repaired = RestorationEvaluation(as_repaired=True).measure(Near(), evidence).rows[MODEL_ROW]
    frozen = evidence.frozen
    by_hand = np.stack([repair(Near(), *pair) for pair in zip(frozen.corrupted, frozen.missing, strict=True)])
    expected = restoration_scores(by_hand, frozen.images, frozen.missing, (0.1, 0.5), "f", 1)
    found = {score.name: score for score in repaired}
    assert [found[score.name].value for score in expected] == [score.value for score in expected]
    assert found["psnr_hole"].value != {score.name: score for score in alone}["psnr_hole"].value


def test_scores_of_both_ways_cannot_be_compared_by_mistake(evidence):
    scores = [
        RestorationEvaluation(as_repaired=by).measure_baselines(evidence).rows["harmonic"][0] for by in (False, True)
    ]
    assert scores[0].value == scores[1].value
    assert scores[0].protocol.digest != scores[1].protocol.digest
    assert scores[1].protocol.settings == {"mended": "as by kintsugi repair"}


def test_an_evaluation_that_does_not_ask_for_it_is_written_as_before():
    assert "as_repaired" not in RestorationEvaluation().model_dump(mode="json")
    assert RestorationEvaluation(as_repaired=True).model_dump(mode="json")["as_repaired"]
