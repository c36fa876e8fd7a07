"""Odd images are counted, listed and shown; nothing is left out for it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from components.artifacts import Store
from components.data import DatasetConfig, FolderSource, ShapesSource, ShardReader, ShardSet, write_shards
from components.quality.report import QualityReport, conflicting, quality_report
from components.seeding import numpy_generator

SIDE = 32


def texture(seed: int, side: int = SIDE) -> np.ndarray:
    coarse = numpy_generator(seed, "texture").integers(40, 215, (8, 8, 3), dtype=np.uint8)
    fine = numpy_generator(seed, "grain").integers(0, 40, (side, side, 3), dtype=np.uint8)
    return cv2.add(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_NEAREST), fine)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, store: Store) -> ShardSet:
    """Forty textures in two classes, and one picture that is odd in each way."""
    folder = tmp_path_factory.mktemp("pile")
    pictures = {f"{'rough' if number % 2 else 'plain'}/{number}": texture(number) for number in range(40)}
    pictures["plain/blank"] = np.full((SIDE, SIDE, 3), 128, np.uint8)
    pictures["plain/tiny"] = texture(90, 16)
    pictures["plain/blurred"] = cv2.GaussianBlur(texture(91), (0, 0), 3)
    pictures["plain/dark"] = (texture(92) // 64).astype(np.uint8)
    pictures["plain/bright"] = (252 + texture(93) // 64).astype(np.uint8)
    pictures["rough/again"] = texture(4)[:, ::-1]  # which is plain
    for name, picture in pictures.items():
        path = folder / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(picture).save(path)
    return write_shards(DatasetConfig(source=FolderSource(path=folder, labels=True), size=SIDE), store)


@pytest.fixture(scope="module")
def report(shards: ShardSet, store: Store) -> QualityReport:
    return quality_report(shards, store)


def counts(report: QualityReport) -> dict[str, int]:
    return {one.name: one.images for one in report.findings}


def test_each_odd_picture_is_found_and_no_plain_one(report: QualityReport) -> None:
    found = counts(report)
    assert (found["tiny"], found["dark"], found["over-exposed"]) == (1, 1, 1)
    assert found["blurred"] == 1
    assert found["blank"] == 3  # the dark and the bright one have hardly anything on them, too
    assert (found["near-copies"], found["label conflicts"]) == (2, 2)


def test_what_is_found_is_listed_and_shown(report: QualityReport, shards: ShardSet) -> None:
    listed = json.loads((report.path / "findings.json").read_text())
    assert {name: len(keys) for name, keys in listed.items()} == counts(report)
    everything = {key for split in shards.splits for key in ShardReader(shards, split).keys}
    assert {key for keys in listed.values() for key in keys} <= everything
    for one in report.findings:
        assert (report.path / one.picture).is_file() == bool(one.images)
    report.verify()


def test_the_balance_of_classes_is_that_of_the_shards(report: QualityReport, shards: ShardSet) -> None:
    assert report.classes == {split: facts.classes for split, facts in shards.splits.items()}


def test_images_without_classes_have_no_conflicts_and_all_splits_may_be_empty_but_one(tmp_path: Path) -> None:
    source = ShapesSource(images=20, raster_px=16)
    split = {"validation": 0, "test": 0}
    shards = write_shards(DatasetConfig(source=source, size=16, split=split), Store(tmp_path))
    report = quality_report(shards, Store(tmp_path))
    assert counts(report)["label conflicts"] == counts(report)["straddling"] == 0
    assert not report.classes


def test_a_conflict_is_between_classes_of_one_group() -> None:
    groups, labels = np.array([0, 0, 1, 1, -1, -1]), np.array([1, 2, 3, 3, 1, 2])
    assert conflicting(groups, labels).tolist() == [True, True, False, False, False, False]
