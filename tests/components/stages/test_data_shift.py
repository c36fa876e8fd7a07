"""New images are compared with those that were trained on; of what is the same, nothing is new."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.artifacts import Store
from components.data import DatasetConfig, FolderSource, ShapesSource, ShardSet, write_shards
from components.seeding import numpy_generator
from components.stages.shift import DataShift, data_shift


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("photos")


def shards_of(folder: Path, store: Store) -> ShardSet:
    return write_shards(DatasetConfig(source=FolderSource(path=folder), size=16), store)


@pytest.fixture(scope="module")
def known(folder: Path, store: Store) -> ShardSet:
    for number, item in enumerate(ShapesSource(images=120, raster_px=16).items()):
        (folder / f"{number}.png").write_bytes(item.content)
    return shards_of(folder, store)


@pytest.fixture(scope="module")
def found(folder: Path, store: Store, known: ShardSet) -> DataShift:
    for number in range(60):
        noise = numpy_generator(number, "odd").integers(0, 256, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"odd-{number}.jpg")
    return data_shift(known, shards_of(folder, store), store)


def test_only_images_that_came_since_are_compared(found: DataShift, known: ShardSet) -> None:
    assert (found.new_images, found.shift.images) == (60, 60)
    assert found.shift.known_images == known.splits["train"].samples
    assert found.shift.verdict == "drifted"
    assert found.formats == {"JPEG": (1.0, 0.0), "PNG": (0.0, 1.0)}
    assert found.file_px == (24, 16)


def test_what_was_found_is_an_artifact_that_is_found_again(found: DataShift, store: Store) -> None:
    found.verify()
    assert json.loads((found.path / "shift.json").read_text())["verdict"] == "drifted"
    assert store.by_digest(DataShift, found.digest) == found


def test_without_new_images_nothing_is_said(known: ShardSet, store: Store) -> None:
    same = data_shift(known, known, store)
    assert (same.new_images, same.shift.verdict) == (0, "unknown")
