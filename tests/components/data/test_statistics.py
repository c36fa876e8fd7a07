"""How the training images' pixels go together: measured once for a data version, in all its symmetries."""

from pathlib import Path

import numpy as np
import pytest
from scipy.fft import dctn

from components.artifacts import Store
from components.data import DatasetConfig, ShapesSource, ShardReader, ShardSet, write_shards
from components.data.statistics import PixelStatistics, measured, pixel_statistics, statistics_digest

SIZE = 8


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


def shards_of(images: int, store: Store) -> ShardSet:
    return write_shards(DatasetConfig(source=ShapesSource(images=images, raster_px=16), size=SIZE), store)


def test_they_are_those_of_the_images_in_all_symmetries(store: Store) -> None:
    shards = shards_of(120, store)
    arrays = pixel_statistics(shards, store).arrays()
    reader = ShardReader(shards, "train")
    grey = reader.images(range(len(reader))).transpose(0, 3, 1, 2).reshape(-1, SIZE, SIZE) / 127.5 - 1
    turned = np.concatenate([np.rot90(one, n, (1, 2)) for one in (grey, grey.transpose(0, 2, 1)) for n in range(4)])
    flat = turned.reshape(len(turned), -1) - grey.mean()
    covariance = flat.T @ flat / len(flat) + 2e-5 * np.eye(SIZE**2)
    assert arrays["mean"] == pytest.approx(grey.mean(), abs=1e-6)
    assert np.allclose(arrays["precision"] @ covariance, np.eye(SIZE**2), atol=1e-3)
    frequencies = np.square(dctn(turned - grey.mean(), axes=(1, 2), norm="ortho")).mean(axis=0) + 2e-5
    assert np.allclose(arrays["spectrum"], frequencies, rtol=1e-3)


def test_of_large_images_the_spectrum_alone_is_kept() -> None:
    noise = np.random.default_rng(0).standard_normal((500, 40, 40), np.float32)
    arrays = measured(iter(np.array_split(noise, 3)), 40)
    assert set(arrays) == {"mean", "spectrum"}
    assert arrays["spectrum"].mean() == pytest.approx(1, abs=0.01)


def test_they_are_made_once_for_a_data_version_and_stay_as_long_as_it_does(store: Store, tmp_path: Path) -> None:
    shards = shards_of(120, store)
    made = pixel_statistics(shards, store)
    assert (made.digest, made.images, made.size) == (
        statistics_digest(shards),
        shards.splits["train"].samples,
        SIZE,
    )
    nowhere = shards.model_copy(update={"path": tmp_path / "gone"})
    assert pixel_statistics(nowhere, store) == made
    assert PixelStatistics.belongs_to(store.manifest("pixelstatistics", made.digest)) == {shards.digest}
    assert statistics_digest(shards_of(121, store)) != made.digest


def test_fewer_images_than_pixels_are_refused_in_numbers(store: Store) -> None:
    shards = shards_of(30, store)
    count = shards.splits["train"].samples
    with pytest.raises(ValueError, match=rf"found {count} training images of 8 px, expected at least 64"):
        pixel_statistics(shards, store)
