"""Scores while training: zero for perfection, larger for worse, the same for the same network."""

import numpy as np
import pytest

from components.artifacts import Store
from components.config import CorruptionConfig
from components.corruption import CorruptionMix
from components.data import DatasetConfig, ShapesSource, ShardSet, write_shards
from components.data.dataset import SplitConfig
from components.models.features import LITE0_SHA256
from components.training.selection import ValidationConfig
from components.worker.validation import Validation, hole_error


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> ShardSet:
    dataset = DatasetConfig(source=ShapesSource(images=90, raster_px=16), size=16)
    return write_shards(dataset, Store(tmp_path_factory.mktemp("store")))


def validation(producer, shards, **options) -> Validation:
    corruption = CorruptionConfig(mix=CorruptionMix())
    return Validation(producer, shards, corruption, 3, ValidationConfig(**({"samples": 8} | options)))


class Mender:
    """Fills every hole with one grey."""

    stride = 1

    def __init__(self, grey: int, *, restores_known: bool = False) -> None:
        self.grey = grey
        self.restores_known, self.reach_px = restores_known, 6.0

    def restore(self, corrupted, missing):
        return np.where(missing[..., None], np.uint8(self.grey), corrupted)


class Maker:
    """Makes pictures of one grey, or of noise."""

    def __init__(self, grey: int | None) -> None:
        self.grey = grey

    def generate(self, samples, seed):
        shape = (samples, 16, 16, 3)
        if self.grey is not None:
            return np.full(shape, self.grey, np.uint8)
        return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


class Coder(Maker):
    """Also gives images back, darker by so many levels."""

    def reconstruct(self, images):
        return np.where(images > 250, images - 10, images + 5).astype(np.uint8)


def test_the_error_in_holes_is_a_fraction_of_the_pixel_range_and_ignores_the_rest():
    truth = np.full((1, 4, 4, 3), 100, np.uint8)
    missing = np.zeros((1, 4, 4), bool)
    missing[0, 0, :2] = True
    restored = truth + np.uint8(50)
    restored[0, 0, 0] = 151
    assert hole_error(restored, truth, missing) == pytest.approx((51 + 50) / 2 / 255)
    assert hole_error(restored, truth, np.zeros_like(missing)) == 0


def test_each_kind_of_producer_has_its_score_and_equal_networks_have_equal_ones(shards):
    mender = validation(Mender(128), shards)
    assert mender.look() == mender.look() == validation(Mender(128), shards).look()
    assert mender.look().values().keys() == {"validation/hole_error"}
    assert validation(Mender(128, restores_known=True), shards).look().score < mender.look().score  # spread over all
    found = validation(Coder(7), shards).look()
    assert 5 / 255 <= found.score <= 10 / 255
    assert found.values() == {"validation/reconstruction_error": found.score, "validation/spread": 0.0}
    maker = validation(Maker(None), shards).look()
    assert maker.values().keys() == {"validation/kernel_distance", "validation/spread"}
    assert maker.spread > 0.2


def test_no_validation_images_are_refused(tmp_path):
    dataset = DatasetConfig(source=ShapesSource(images=12, raster_px=16), size=16, split=SplitConfig(validation=0))
    with pytest.raises(ValueError, match=r"validation split is empty.*remove training\.validation"):
        validation(Mender(0), write_shards(dataset, Store(tmp_path)))


def test_the_network_that_taught_a_model_does_not_choose_among_its_averages(shards):
    own, other = (
        Validation(Maker(None), shards, None, 3, ValidationConfig(samples=16), taught_by)
        for taught_by in ((), (LITE0_SHA256,))
    )
    one, two = own.look(), other.look()
    assert one.name == two.name == "kernel_distance"
    assert one.score != two.score
