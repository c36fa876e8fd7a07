"""Files become upright pictures and masks, or a reason in words."""

import contextlib
import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from components.pictures.formats import format_of
from components.pictures.reading import (
    MOST_PIXELS,
    WEB_FORMATS,
    TooManyPixelsError,
    read_mask,
    read_photo,
    read_picture,
)
from tests.components.pictures.conftest import encoded, of_mode, smooth


def test_a_picture_is_turned_upright():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    upright = read_picture(encoded(Image.fromarray(pixels), exif=turned), "photo")
    assert np.array_equal(upright, np.rot90(pixels, -1))


def test_pixels_are_limited_to_the_last_one():
    side = 1000
    assert read_mask(encoded(Image.new("1", (side, MOST_PIXELS // side))), "mask").shape == (MOST_PIXELS // side, side)
    with pytest.raises(TooManyPixelsError, match="mask: 1000 x 50001 pixels, expected at most 50 million"):
        read_mask(encoded(Image.new("1", (side, MOST_PIXELS // side + 1))), "mask")


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow, for what it mends
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "AVIF", "JPEG2000", "BMP"])
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


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "LAB", "I;16", "I;16B"])
def test_every_mode_looks_as_it_should(mode):
    looks = read_picture(encoded(of_mode(mode), "TIFF"), "photo").astype(int)
    colours = Image.fromarray(smooth(3))
    grey = mode in {"L", "LA", "I;16", "I;16B"}
    expected = np.asarray(colours.convert("L").convert("RGB") if grey else colours).astype(int)
    if mode.startswith("I"):
        expected = np.repeat(smooth(1).astype(int), 3, axis=2)
    seen = slice(12, 24)  # where all is opaque
    limit = {"1": 255, "P": 60, "LAB": 16, "YCbCr": 3}.get(mode, 1)
    assert np.abs(looks - expected)[seen].max() <= limit
    if mode in {"RGBA", "LA"}:
        assert (looks[:12] == 255).all()


@pytest.mark.parametrize("mode", ["I", "F"])
def test_levels_without_an_agreed_white_are_refused_saying_so(mode):
    with pytest.raises(
        ValueError, match=f"photo: pixels of mode {mode} .* have no agreed white; expected levels of 8 or"
    ):
        read_picture(encoded(Image.new(mode, (4, 4)), "TIFF"), "photo")


def test_more_than_8_bits_are_told():
    assert read_photo(encoded(of_mode("I;16")), "photo").notes == ("16 bits per channel are read as 8",)
    assert read_photo(encoded(of_mode("I;16"), "TIFF"), "photo").notes == ("16 bits per channel are read as 8",)
    assert read_photo(encoded(of_mode("L")), "photo").notes == ()


def test_16_bits_of_colour_are_read(tmp_path):
    deep = smooth(3).astype(np.uint16) * 257
    for suffix in ("png", "tif"):
        cv2.imwrite(str(tmp_path / f"deep.{suffix}"), deep[..., ::-1])
        photo = read_photo((tmp_path / f"deep.{suffix}").read_bytes(), "photo")
        assert np.array_equal(photo.pixels, smooth(3))
        assert photo.notes == ("16 bits per channel are read as 8",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC, which is not read here"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", "AVIF, which is not read here"),
        (b"\xff\x0a rest", "JPEG XL, which is not read here"),
        (b"%PDF-1.7", "PDF, which is not read here"),
        (b"", "an empty file"),
        (b"<html>404</html>", "starts with b'<html>404"),
        (b"\x89PNG\r\n\x1a\n torn", "starts as PNG does, but is damaged"),
    ],
)
def test_what_is_no_picture_is_named_as_what_it_is(content, words):
    with pytest.raises(ValueError, match=f"^photo: .*{words}.*"):
        read_picture(content, "photo", WEB_FORMATS)


def test_avif_is_read_from_files_and_named_where_it_is_not_taken():
    content = encoded(of_mode("RGB"), "AVIF")
    assert np.abs(read_picture(content, "photo").astype(int) - smooth(3)).mean() < 12
    with pytest.raises(ValueError, match="AVIF, which is not read here; expected PNG, JPEG, WEBP"):
        read_picture(content, "photo", WEB_FORMATS)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_bombs_are_refused_by_name_before_they_are_decoded():
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    with pytest.raises(TooManyPixelsError, match="photo: many times more pixels, expected at most 50 million"):
        read_picture(start + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""), "photo")
    whole = encoded(of_mode("RGB"))
    text = chunk(b"zTXt", b"k\0\0" + zlib.compress(b"a" * 3_000_000))
    with pytest.raises(ValueError, match="photo: cannot be read as a whole picture"):
        read_picture(whole[:33] + text + whole[33:], "photo")


EXIF = b"Exif\0\0II*\0\x08\0\0\0"
ODD = {
    "a text instead of a table": EXIF + b"\x02\0" + struct.pack("<HHI4s", 0x112, 3, 1, b"\6\0\0\0")
    + struct.pack("<HHI4s", 0x8769, 2, 3, b"ab\0\0") + bytes(4),
    "a table outside the file": EXIF + b"\x02\0" + struct.pack("<HHI4s", 0x112, 3, 1, b"\6\0\0\0")
    + struct.pack("<HHII", 0x8769, 4, 1, 0x7FFFFFFF) + bytes(4),
    "a table in itself": EXIF + b"\x01\0" + struct.pack("<HHII", 0x8825, 4, 1, 8) + bytes(4),
    "a division by zero": EXIF + b"\x01\0" + struct.pack("<HHII", 0x11A, 5, 1, 26) + bytes(12),
    "a negative length": EXIF + b"\x01\0" + struct.pack("<HHIi", 0x100, 9, 1, -5) + bytes(4),
    "twice the heading": b"Exif\0\0" + EXIF + b"\0\0",
    "no table": b"Exif\0\0\0\x08\0\2\1\x12\0\3",
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("what", ODD)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_odd_exif_costs_neither_the_picture_nor_its_mended_copy(what, kind):
    photo = read_photo(encoded(of_mode("RGB"), kind, exif=ODD[what]), "photo")
    hole = np.zeros(photo.pixels.shape[:2], bool)
    for name in ("a.jpg", "a.png", "a.tif", "a.webp"):
        form = format_of(Path(name))
        assert read_picture(photo.written(photo.pixels, hole, form).content, name).shape == photo.pixels.shape


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG", "MPO"])
def test_further_pictures_in_a_file_are_told(kind):
    more = Image.fromarray(smooth(3, 4))
    content = encoded(of_mode("RGB"), kind, save_all=True, append_images=[more])
    assert "of 2 pictures in the file the first is taken" in read_photo(content, "photo").notes
    assert np.abs(read_picture(content, "photo").astype(int) - smooth(3)).mean() < 20


def test_a_damaged_tiff_is_said_in_words_and_libtiff_says_nothing_of_its_own(capfd):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)
    Image.fromarray(noise).save(buffer, "TIFF", compression="tiff_lzw")
    content = bytearray(buffer.getvalue())
    content[1000:3000] = bytes(2000)
    with pytest.raises(ValueError, match=r"^broken\.tif: cannot be read as a whole picture"):
        read_photo(bytes(content), "broken.tif")
    assert capfd.readouterr() == ("", "")
