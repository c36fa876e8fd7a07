"""No image is trained on of which a near-copy is held out, and no image changes its split for that."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from components.artifacts import Store
from components.data import DatasetConfig, FolderSource, ShapesSource, ShardReader, write_shards
from components.quality.copies import grouped, left_out, near_copies, read_left_out
from components.quality.facts import image_facts

TEST, VALIDATION, TRAIN = 2, 1, 0


def pairs(*found: tuple[int, int]) -> np.ndarray:
    return np.array(found, np.int64).reshape(-1, 2)


def test_a_chain_of_pairs_is_one_group() -> None:
    assert grouped(pairs((1, 4), (4, 6), (2, 3)), 8).tolist() == [-1, 0, 1, 1, 0, -1, 0, -1]
    assert grouped(pairs(), 3).tolist() == [-1, -1, -1]
    assert grouped(pairs(), 0).tolist() == []


def test_what_has_a_near_copy_held_out_is_not_trained_on_and_what_is_held_out_stays() -> None:
    groups = np.array([0, 0, 1, 1, -1, 2, 2])
    splits = np.array([TRAIN, TEST, TRAIN, TRAIN, TRAIN, VALIDATION, TEST], np.uint8)
    assert left_out(groups, splits).tolist() == [True, False, False, False, False, False, False]


@given(st.permutations(range(12)), st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=10))
def test_the_order_of_arrival_does_not_decide_who_is_left_out(order: list[int], found: list[tuple[int, int]]) -> None:
    splits = np.array([TRAIN, TRAIN, TEST, VALIDATION] * 3, np.uint8)
    place = {old: new for new, old in enumerate(order)}
    one = left_out(grouped(pairs(*found), 12), splits)
    moved = left_out(grouped(pairs(*((place[a], place[b]) for a, b in found)), 12), splits[order])
    assert np.array_equal(moved, one[order])


def test_copies_of_photos_in_a_folder_are_grouped_and_left_out_of_training(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, item in enumerate(ShapesSource(images=60, raster_px=64).items()):
        (folder / f"{number}.png").write_bytes(item.content)
        with Image.open(folder / f"{number}.png") as picture:
            picture.convert("RGB").save(folder / f"{number}-again.jpg", quality=85)
    store = Store(tmp_path / "store")
    shards = write_shards(DatasetConfig(source=FolderSource(path=folder), size=32), store)
    copies = near_copies(shards, store)
    keys = {split: set(ShardReader(shards, split).keys) for split in shards.splits}
    out = set(read_left_out(copies.list_path))
    assert shards.accepted == 120
    assert copies.images >= 110  # the smallest shapes lose too much
    assert out <= keys["train"]
    rows = image_facts(shards, store).rows
    group = dict(zip((key.decode() for key in rows["key"]), copies.numbers.tolist(), strict=True))
    held = {group[key] for split in ("test", "validation") for key in keys[split]} - {-1}
    assert held
    assert not {group[key] for key in keys["train"] - out} & held
    assert {group[key] for key in out} <= held
    assert copies.left_out == len(out) > 0
    assert near_copies(shards, store).digest == copies.digest
