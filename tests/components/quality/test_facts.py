"""Facts say what a picture is like, and are measured once for a ShardSet."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from components.artifacts import Store
from components.data import ShardReader, ShardSet
from components.quality.facts import image_facts, measured
from components.seeding import numpy_generator


@pytest.fixture
def noisy() -> np.ndarray:
    return numpy_generator(1, "noisy").integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)


def test_each_image_has_a_row_in_the_order_of_the_splits_and_its_file_is_known(
    shards: ShardSet, tmp_path: Path
) -> None:
    seen: list[tuple[int, int | None]] = []
    facts = image_facts(shards, Store(tmp_path), progress=lambda done, total: seen.append((done, total)))
    keys = [key for split in ("train", "validation", "test") for key in ShardReader(shards, split).keys]
    rows = facts.rows
    assert [key.decode() for key in rows["key"]] == keys
    assert facts.images == shards.accepted == len(keys)
    assert set(rows["format"]) == {b"PNG"}
    assert set(rows["width"]) == {16}
    assert seen[-1] == (60, 60)
    facts.verify()


def test_facts_are_in_the_store_the_second_time(shards: ShardSet, tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = image_facts(shards, store)
    assert image_facts(shards, store, progress=lambda *_: pytest.fail("measured again")) == first


def test_a_blurred_picture_is_less_sharp_however_faint_it_is(noisy: np.ndarray) -> None:
    blurred = cv2.GaussianBlur(noisy[0], (0, 0), 2)[None]
    faint = (noisy // 4 + 96).astype(np.uint8)
    sharp, soft, pale = (float(measured(one)["sharpness"][0]) for one in (noisy, blurred, faint))
    assert soft < 0.05 * sharp
    assert pale == pytest.approx(sharp, rel=0.05)


@pytest.mark.parametrize(("level", "dark", "bright"), [(0, 1, 0), (255, 0, 1), (128, 0, 0)])
def test_a_flat_picture_has_no_contrast_and_nothing_sharp(level: int, dark: float, bright: float) -> None:
    row = measured(np.full((1, 16, 16, 3), level, np.uint8))[0]
    assert row["brightness"] == pytest.approx(level / 255)
    assert (row["contrast"], row["sharpness"], row["saturation"]) == (0, 0, 0)
    assert (row["dark"], row["bright"]) == (dark, bright)


def test_grain_is_the_deviation_of_noise_on_a_slope() -> None:
    slope = np.linspace(60, 190, 256)[None, :, None] + np.zeros((256, 1, 3))
    noise = numpy_generator(2, "grain").normal(0, 8, (256, 256, 1))
    row = measured(np.clip(slope + noise, 0, 255).astype(np.uint8)[None])[0]
    assert row["grain"] * 255 == pytest.approx(8, rel=0.05)
    assert measured(slope.astype(np.uint8)[None])["grain"][0] * 255 < 1
