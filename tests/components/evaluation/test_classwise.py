"""Each class is scored against its own held-out images, and a floor can hold for all of them."""

import numpy as np
import pytest
import torch

from components.artifacts import Store
from components.data import DatasetConfig, ShardReader, write_shards
from components.evaluation.classwise import class_scores
from components.evaluation.evidence import Evidence
from components.evaluation.extractors import FidelityConfig
from components.evaluation.fidelity import Fidelity
from components.evaluation.gate import Floor, PromotionRule, decide
from components.evaluation.protocol import ScoreTable

CONFIG = FidelityConfig.model_validate(
    {"extractor": {"kind": "efficientnet_lite0", "resolution": 32}, "kid_subsets": 2, "interval_groups": 5}
)
DATA = {
    "source": {"kind": "shapes", "images": 400, "raster_px": 16, "labels": True},
    "size": 16,
    "split": {"validation": 0.0, "test": 0.5},
}


class Copier:
    """Makes a class from its training images, but for one class, which it makes from another's."""

    def __init__(self, reader, classes, confused):
        self.classes = classes
        self.images = reader.images(np.arange(len(reader)))
        self.labels = reader.labels
        self.confused = confused

    def generate_class(self, name, samples, _seed, first=0):
        if name in self.confused:
            return np.full((samples, 16, 16, 3), 255 * self.classes.index(name) // 8, np.uint8)
        own = self.images[self.labels == self.classes.index(name)]
        return own[np.arange(first, first + samples) % len(own)]

    def generate(self, samples, _seed, first=0):
        return self.images[np.arange(first, first + samples) % len(self.images)]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(DatasetConfig.model_validate(DATA), Store(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def scores(shards, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    reader = ShardReader(shards, "train")
    evidence = Evidence(
        shards, reader.images(np.arange(len(reader))), None, "", (), seed=3, device=torch.device("cpu"), cache=cache
    )
    fidelity = Fidelity(evidence.test, CONFIG, evidence.test_digest, 3, cache=cache)
    classes = evidence.class_names
    return classes, class_scores(Copier(reader, classes, {classes[1]}), fidelity, evidence)


def test_the_class_that_is_made_wrongly_is_the_one_whose_score_is_bad(scores):
    classes, found = scores
    values = {score.name.rpartition("/class_")[2]: score for score in found}
    assert len(values) >= 2
    worst = max(values, key=lambda name: values[name].value)
    assert worst == classes[1]
    assert all(score.low > values[name].high for name in values if name != worst for score in [values[worst]])
    assert {score.protocol.settings["class"] for score in found} == set(values)


def test_a_floor_on_all_classes_names_the_class_that_does_not_keep_it(scores):
    classes, found = scores
    good = next(score for score in found if not score.name.endswith(f"/class_{classes[1]}"))
    wrong = next(score for score in found if score.name.endswith(f"/class_{classes[1]}"))
    limit = (max(score.value for score in found if score is not wrong) + wrong.value) / 2
    rule = PromotionRule(
        metric=good.name,
        must_beat_baselines=False,
        floors=(Floor(metric="kid_efficientnet_lite0/class_*", at_most=limit),),
    )
    decision = decide(ScoreTable(subject="s", rows={"model": found}), None, rule)
    assert decision.verdict == "reject"
    assert len(decision.reasons) == 1
    assert f"/class_{classes[1]}" in decision.reasons[0]
    assert "is over its limit" in decision.reasons[0]
    without = decide(ScoreTable(subject="s", rows={"model": ()}), None, rule)
    assert without.verdict == "hold"
