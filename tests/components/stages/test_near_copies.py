"""A training that leaves near-copies of held-out images out is another one; where there are none, it is the same."""

import json
from pathlib import Path

import pytest
from PIL import Image

from components.artifacts import Store
from components.config import RunConfig, load
from components.data import DatasetConfig, FolderSource, ShapesSource, ShardSet, write_shards
from components.quality.copies import NearCopies, find_near_copies, near_copies
from components.section import digest_of
from components.stages.foresee import foresee_data
from components.stages.inputs import checkpoint_inputs

CONFIG = Path(__file__).parents[2] / "flows" / "mini.yaml"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory, store: Store) -> ShardSet:
    folder = tmp_path_factory.mktemp("photos")
    for number, item in enumerate(ShapesSource(images=40, raster_px=32).items()):
        (folder / f"{number}.png").write_bytes(item.content)
        with Image.open(folder / f"{number}.png") as picture:
            picture.convert("RGB").save(folder / f"{number}-again.jpg", quality=90)
    return write_shards(DatasetConfig(source=FolderSource(path=folder), size=16), store)


def run_of(shards: ShardSet, near: str) -> RunConfig:
    run = load(CONFIG)
    return run.model_copy(update={"dataset": run.dataset.model_copy(update={"near_copies": near})})


def training(run: RunConfig, shards: ShardSet, copies: NearCopies | None) -> str:
    model = next(iter(run.models.values()))
    return digest_of(checkpoint_inputs(model, run.corruption, run.seed, shards, copies=copies))


def test_the_choice_at_its_default_is_in_no_digest() -> None:
    section = DatasetConfig(source=ShapesSource(images=9), size=16)
    assert "near_copies" not in section.model_dump(mode="json")
    other = section.model_copy(update={"near_copies": "left_out"})
    assert other.model_dump(mode="json")["near_copies"] == "left_out"


def test_the_choice_changes_no_shards(tmp_path: Path) -> None:
    source = ShapesSource(images=20, raster_px=16)
    kept, left_out = (
        write_shards(DatasetConfig(source=source, size=16, near_copies=choice), Store(tmp_path))
        for choice in ("kept", "left_out")
    )
    assert kept.digest == left_out.digest


def test_a_training_is_another_one_exactly_where_images_are_left_out(copied: ShardSet, store: Store) -> None:
    copies = near_copies(copied, store)
    assert copies.left_out
    run = run_of(copied, "left_out")
    assert training(run, copied, copies) != training(run, copied, None)
    none = copies.model_copy(update={"left_out": 0})
    assert training(run, copied, none) == training(run, copied, None)


def test_a_plan_finds_no_training_before_it_is_known_what_is_trained_on(copied: ShardSet, tmp_path: Path) -> None:
    store = Store(tmp_path)
    run = run_of(copied, "left_out")
    model = next(iter(run.models))
    assert find_near_copies(copied, store) is None
    assert not foresee_data(run, copied, None, store).is_settled(model)
    copies = near_copies(copied, store)
    foreseen = foresee_data(run, copied, None, store)
    assert foreseen.is_settled(model)
    assert foreseen.copies == copies
    assert foresee_data(run_of(copied, "kept"), copied, None, store).copies is None


def test_the_list_of_those_left_out_is_plain_json(copied: ShardSet, store: Store) -> None:
    copies = near_copies(copied, store)
    assert len(json.loads(copies.list_path.read_text())) == copies.left_out
