"""Files become upright pictures and masks, or a reason in words."""

import contextlib
import io

import numpy as np
import pytest
from PIL import Image

from components.pictures.reading import MOST_PIXELS, WEB_FORMATS, TooManyPixelsError, read_mask, read_picture


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_a_picture_is_turned_upright():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    upright = read_picture(encoded(Image.fromarray(pixels), exif=turned), "photo")
    assert np.array_equal(upright, np.rot90(pixels, -1))


def test_a_mask_is_true_where_white():
    shades = np.array([[0, 127, 128, 255]], np.uint8)
    assert read_mask(encoded(Image.fromarray(shades)), "mask").tolist() == [[False, False, True, True]]


def test_pixels_are_limited_to_the_last_one():
    side = 1000
    assert read_mask(encoded(Image.new("1", (side, MOST_PIXELS // side))), "mask").shape == (MOST_PIXELS // side, side)
    with pytest.raises(TooManyPixelsError, match="mask: 1000 x 50001 pixels, expected at most 50 million"):
        read_mask(encoded(Image.new("1", (side, MOST_PIXELS // side + 1))), "mask")


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow, for what it mends
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF"])
def test_a_file_that_ends_early_or_is_damaged_never_ends_in_another_error(kind):
    pixels = np.random.default_rng(1).integers(0, 256, (40, 50, 3), np.uint8)
    content = encoded(Image.fromarray(pixels), kind)
    draw = np.random.default_rng(2)
    for place in range(60):
        damaged = bytearray(content)
        for at in draw.integers(0, len(content), 8):
            damaged[at] = draw.integers(256)
        for one in (bytes(damaged), content[: place * len(content) // 60]):
            with contextlib.suppress(ValueError):
                assert read_picture(one, "photo").dtype == np.uint8


def test_other_formats_than_those_of_the_web_are_refused_there():
    content = encoded(Image.new("RGB", (4, 4)), "BMP")
    assert read_picture(content, "photo").shape == (4, 4, 3)
    with pytest.raises(ValueError, match="expected PNG, JPEG, WEBP"):
        read_picture(content, "photo", WEB_FORMATS)
