"""Two data sets are compared image by image, whatever their files are called and whichever split they lie in."""

import pytest

from components.artifacts import Store
from components.data import DatasetConfig, FolderSource, ShapesSource, changed, holds_same, write_shards

PICTURES = [item.content for item in ShapesSource(images=40, raster_px=16).items()]


@pytest.fixture
def sharded(tmp_path):
    """Return the shards of a folder with the pictures of these numbers, below a folder for each class if asked."""

    def write(name, numbers, of_class=None, prefix=""):
        for place, number in enumerate(numbers):
            folder = tmp_path / name / (of_class(number) if of_class else "")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{prefix}{place:03}.png").write_bytes(PICTURES[number])
        source = FolderSource(path=tmp_path / name, labels=of_class is not None)
        return write_shards(DatasetConfig(source=source, size=16), Store(tmp_path / "store"))

    return write


def test_equal_pictures_under_other_names_are_no_change(sharded):
    one, other = sharded("one", range(30)), sharded("other", reversed(range(30)), prefix="x")
    assert one.digest != other.digest
    found = changed(one, other)
    assert (found.new, found.gone, found.same, found.share) == (0, 0, 30, 0)


def test_new_and_removed_images_count_of_all_that_either_has(sharded):
    found = changed(sharded("before", range(30)), sharded("after", range(3, 40)))
    assert (found.new, found.gone, found.same) == (10, 3, 27)
    assert found.share == 13 / 40
    assert found.facts == "10 images new and 3 gone, 32.50% of all"


def test_an_image_of_another_class_is_another_image(sharded):
    before = sharded("before", range(20), lambda number: f"of {number % 2}")
    after = sharded("after", range(20), lambda number: f"of {0 if number == 1 else number % 2}")
    found = changed(before, after)
    assert (found.new, found.gone, found.same) == (1, 1, 19)


def test_a_data_set_has_not_changed_against_itself(shards, shards_of_classes):
    assert changed(shards, shards).share == 0
    assert changed(shards_of_classes, shards_of_classes).share == 0


def test_a_split_holds_the_same_images_or_not(sharded):
    one, other, fewer = sharded("one", range(30)), sharded("other", reversed(range(30))), sharded("fewer", range(25))
    assert all(holds_same(one, other, split) for split in one.splits)
    assert not holds_same(one, fewer, "train")
