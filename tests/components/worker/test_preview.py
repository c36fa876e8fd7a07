"""Previews show the same few pictures each time, and none where there are none to show."""

import numpy as np
import pytest

from components.artifacts import Store
from components.config import CorruptionConfig
from components.corruption import CorruptionMix
from components.corruption.quality import JpegConfig
from components.data import DatasetConfig, ShapesSource, write_shards
from components.models.resnet import ResnetConfig
from components.recipes.inpainter import InpainterConfig
from components.worker.preview import Preview

CORRUPTION = CorruptionConfig(mix=CorruptionMix(masks=(), degradations=(JpegConfig(),)))


@pytest.fixture(scope="module")
def restorer():
    config = InpainterConfig(network=ResnetConfig(width=4, blocks=1), restores="everything")
    return config.producer(config.serving_network(16))


@pytest.mark.parametrize(("validation", "names"), [(0.0, set()), (0.2, {"restorations"})])
def test_a_restorer_is_previewed_on_validation_images_if_there_are_any(validation, names, restorer, tmp_path):
    split = {"validation": validation, "test": 0.2}
    dataset = DatasetConfig(source=ShapesSource(images=30, raster_px=16), size=16, split=split)
    shards = write_shards(dataset, Store(tmp_path))
    first, again = (Preview(restorer, shards, CORRUPTION, seed=1).draw() for _ in range(2))
    assert set(first) == set(again) == names
    assert all(np.array_equal(first[name], again[name]) for name in names)
