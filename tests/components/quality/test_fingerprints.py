"""A fingerprint stays nearly the same under what does not make another picture of a picture."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn

from components.data import ShapesSource
from components.data.check import Picture, examine
from components.quality.fingerprints import areas_apart, fingerprints


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    items = (examine(item.content, 64, "crop", 10**6) for item in ShapesSource(images=40, raster_px=64).items())
    return np.stack([np.asarray(one.image) for one in items if isinstance(one, Picture)])


def bits(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.bitwise_count(one ^ other)


def encoded(picture: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=75)
    return np.asarray(Image.open(file))


def test_the_hash_of_the_mirror_image_costs_no_second_transform_and_is_the_same(pictures: np.ndarray) -> None:
    one, other = fingerprints(pictures), fingerprints(np.ascontiguousarray(pictures[:, :, ::-1]))
    assert np.median(bits(one.mirrored, other.hashes)) == 0
    assert bits(one.mirrored, other.hashes).max() <= 2  # rounding of luma


def test_the_hash_is_the_signs_of_low_frequencies_about_their_median(pictures: np.ndarray) -> None:
    picture = pictures[0]
    luma = np.asarray(Image.fromarray(picture).convert("L"), np.float64)
    halved = luma.reshape(32, 2, 32, 2).mean(axis=(1, 3))
    low = dctn(halved)[:8, :8].ravel()
    slow = np.packbits(low > np.median(low)).view(np.uint64)
    assert bits(fingerprints(picture[None]).hashes, slow)[0] <= 2  # luma is rounded otherwise there


def test_encoding_brightness_and_mirroring_move_a_fingerprint_little_and_another_picture_moves_it_far(
    pictures: np.ndarray,
) -> None:
    known = fingerprints(pictures)
    for altered in (
        np.stack([encoded(one) for one in pictures]),
        (pictures * 0.8).astype(np.uint8),
        np.ascontiguousarray(pictures[:, :, ::-1]),
    ):
        seen = fingerprints(altered)
        apart = np.minimum(bits(known.hashes, seen.hashes), bits(known.mirrored, seen.hashes))
        assert np.mean(apart <= 8) > 0.9
        assert np.mean(areas_apart(known.areas, seen.areas) <= 0.3) > 0.95
    others = areas_apart(known.areas, np.roll(known.areas, 1, axis=0))
    assert np.median(others) > 0.6


def test_a_picture_without_anything_on_it_has_a_fingerprint() -> None:
    flat = np.full((2, 16, 16, 3), 255, np.uint8)
    assert areas_apart(fingerprints(flat).areas, fingerprints(flat).areas).tolist() == [0, 0]
