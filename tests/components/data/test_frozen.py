"""A corruption set is the same evidence each time, evenly spread over the area bins."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import webdataset as wds
from pydantic import ValidationError

from components.artifacts import ArtifactError, Store
from components.corruption import CorruptionMix
from components.corruption.quality import JpegConfig
from components.data import (
    CorruptionSet,
    DatasetConfig,
    FrozenSetConfig,
    ShapesSource,
    ShardReader,
    ShardSet,
    read_corruption_set,
    write_corruption_set,
    write_shards,
)

FROZEN = FrozenSetConfig(images=12, bins=(0.05, 0.2, 0.4, 0.5))


def shardset(store: Store, images: int = 60) -> ShardSet:
    dataset = DatasetConfig(source=ShapesSource(images=images, raster_px=32), size=32, split={"test": 0.5})
    return write_shards(dataset, store)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def written(store: Store) -> CorruptionSet:
    return write_corruption_set(shardset(store), FROZEN, CorruptionMix(), 1, store)


def test_every_bin_holds_as_many_images_and_each_lies_in_its_bin(written: CorruptionSet) -> None:
    read = read_corruption_set(written)
    assert written.counts == (4, 4, 4)
    assert np.bincount(read.bins).tolist() == [4, 4, 4]
    edges = list(pairwise(written.bins))
    for missing, number in zip(read.missing, read.bins, strict=True):
        low, high = edges[number]
        assert low < missing.mean() <= high


def test_images_are_test_images_and_known_pixels_are_untouched(store: Store, written: CorruptionSet) -> None:
    read = read_corruption_set(written)
    reader = ShardReader(shardset(store), "test")
    assert read.keys == sorted(set(read.keys))
    for key, image in zip(read.keys, read.images, strict=True):
        assert np.array_equal(image, reader.image(reader.keys.index(key)))
    assert np.array_equal(read.corrupted[~read.missing], read.images[~read.missing])
    assert (read.corrupted[read.missing] == 127).all()
    assert all(
        recipe["missing_fraction"] == missing.mean() for recipe, missing in zip(read.recipes, read.missing, strict=True)
    )


def test_webdataset_reads_it_and_two_writes_are_equal(tmp_path: Path, written: CorruptionSet) -> None:
    again = write_corruption_set(shardset(Store(tmp_path)), FROZEN, CorruptionMix(), 1, Store(tmp_path))
    assert again.digest == written.digest
    for shard in written.shards:
        assert (written.path / shard.name).read_bytes() == (again.path / shard.name).read_bytes()
        samples = list(wds.WebDataset(str(written.path / shard.name), shardshuffle=False))
        assert len(samples) == shard.samples
        assert {"image.png", "mask.png", "corrupted.png", "recipe.json"} <= set(samples[0])
    written.verify()


def test_growing_the_data_keeps_the_damage_of_images_that_stay(store: Store, tmp_path: Path) -> None:
    frozen = FrozenSetConfig(images=12, bins=(0.05, 0.5))
    few, many = (
        read_corruption_set(write_corruption_set(shardset(store, images), frozen, CorruptionMix(), 1, Store(tmp_path)))
        for images in (60, 70)
    )
    kept = set(few.keys) & set(many.keys)
    assert len(kept) >= 8
    for key in kept:
        a, b = few.keys.index(key), many.keys.index(key)
        assert np.array_equal(few.missing[a], many.missing[b])


def test_seed_and_mix_name_another_set(store: Store, written: CorruptionSet) -> None:
    other = write_corruption_set(shardset(store), FROZEN, CorruptionMix(), 2, store)
    assert other.digest != written.digest
    assert not np.array_equal(read_corruption_set(other).missing, read_corruption_set(written).missing)


def test_too_small_a_test_split_and_odd_bins_are_refused_with_the_numbers(store: Store) -> None:
    with pytest.raises(ValueError, match=r"300 images are to be frozen, but the test split has \d+"):
        write_corruption_set(shardset(store), FrozenSetConfig(), CorruptionMix(), 1, store)
    with pytest.raises(ValidationError, match="expected a multiple of the 2 bins"):
        FrozenSetConfig(images=3, bins=(0, 0.1, 0.2))
    with pytest.raises(ValidationError, match="expected rising fractions"):
        FrozenSetConfig(images=2, bins=(0.3, 0.1, 0.2))


def test_a_set_that_lost_samples_is_not_read(written: CorruptionSet) -> None:
    with pytest.raises(ArtifactError, match="12 images, the manifest says 13"):
        read_corruption_set(written.model_copy(update={"samples": 13}))


def test_a_mix_without_masks_has_no_bins_and_misses_nothing(store: Store) -> None:
    mix = CorruptionMix(masks=(), degradations=(JpegConfig(),), degrade_fraction=1)
    corruptions = write_corruption_set(shardset(store), FROZEN, mix, 1, store)
    assert (corruptions.bins, corruptions.counts, corruptions.samples) == ((), (12,), 12)
    read = read_corruption_set(corruptions)
    assert not read.missing.any()
    assert (read.corrupted != read.images).any(axis=(1, 2, 3)).all()
