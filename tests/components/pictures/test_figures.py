"""Grids, panels and their encoding hold what they were given."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from components.pictures import figures
from components.pictures.encoding import png
from components.report import restoration


def random_images(count: int, height: int = 8, width: int = 8) -> figures.Pictures:
    return np.random.Generator(np.random.Philox(count)).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def opened(content: bytes) -> figures.Picture:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


@given(count=st.integers(1, 12), columns=st.integers(1, 5), scale=st.integers(1, 3), gap=st.integers(0, 3))
def test_every_image_lies_in_its_place_of_the_grid(count, columns, scale, gap):
    images = random_images(count, 4, 6)
    sheet = figures.grid(images, columns, scale, gap)
    across = min(count, columns)
    for place, image in enumerate(images):
        top, left = place // across * (4 * scale + gap), place % across * (6 * scale + gap)
        assert np.array_equal(sheet[top : top + 4 * scale : scale, left : left + 6 * scale : scale], image)
    assert sheet.shape[1] == across * (6 * scale + gap) - gap


def test_small_images_are_enlarged_by_whole_pixels():
    assert figures.grid(random_images(1, 32, 32)).shape == (96, 96, 3)
    assert figures.grid(random_images(1, 200, 200)).shape == (200, 200, 3)


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8, 3)), np.zeros((0, 8, 8, 3), np.uint8)]
)
def test_what_is_not_images_is_refused_with_its_shape(wrong):
    with pytest.raises(ValueError, match=rf"found {wrong.dtype}"):
        figures.grid(wrong)


def test_the_difference_does_not_wrap_around():
    dark, light = np.zeros((1, 2, 2, 3), np.uint8), np.full((1, 2, 2, 3), 200, np.uint8)
    assert (figures.difference(dark, light, 1) == 200).all()
    assert (figures.difference(light, dark, 4) == 255).all()


def test_panels_put_views_in_columns_and_headings_on_top():
    truth, other = random_images(3), random_images(4)[:3]
    sheet = figures.panels([("truth", truth), ("other", other)], scale=10)
    body = sheet[-(3 * 82 - 2) :]
    assert np.array_equal(body[:80:10, 82 : 82 + 80 : 10], other[0])
    assert np.array_equal(body[164 : 164 + 80 : 10, :80:10], truth[2])
    assert (sheet[: sheet.shape[0] - body.shape[0]] < 128).any()


def test_panels_of_unequal_views_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        figures.panels([("a", random_images(2)), ("b", random_images(3))])


@pytest.mark.parametrize("count", [1, 3, 4, 7])
def test_a_contact_sheet_holds_every_image_in_rows_on_white(count):
    images = random_images(count)
    sheet = figures.contact_sheet(list(images), columns=3)
    assert sheet.shape == (2 + 10 * -(-count // 3), 2 + 10 * 3, 3)
    for number, image in enumerate(images):
        top, left = 2 + 10 * (number // 3), 2 + 10 * (number % 3)
        assert np.array_equal(sheet[top : top + 8, left : left + 8], image)
    assert (sheet[:2] == 255).all()


def test_png_is_lossless():
    image = random_images(1, 16, 16)[0]
    assert np.array_equal(opened(png(image)), image)


def test_what_does_not_fit_the_budget_as_png_is_made_smaller():
    image = np.random.Generator(np.random.Philox(1)).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    assert len(figures.encode_within(image, 60_000)) < len(png(image, smallest=True)) / 2
    assert opened(figures.encode_within(image, 60_000)).shape == image.shape


def test_panels_of_a_page_need_a_label_for_each_image():
    truth = random_images(2)
    sides = [(name, truth) for name in ("Truth", "Corrupted", "Restored")]
    assert restoration.panels_of(sides, ["a", "b"]).columns == ("Truth", "Corrupted", "Restored")
    with pytest.raises(ValueError, match="3 labels"):
        restoration.panels_of(sides, ["a", "b", "c"])
