"""Every kind of file becomes the picture a person would see, or a reason."""

import hashlib
import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from components.data.check import Picture, examine
from components.data.sources import Problem

PIXELS = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
PHOTO = Image.fromarray(PIXELS)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(content: bytes, size: int = 16, fit: str = "crop") -> Picture:
    result = examine(content, size, fit, 1_000_000)
    assert isinstance(result, Picture), result
    assert (result.image.mode, result.image.size) == ("RGB", (size, size))
    return result


def problem(content: bytes, size: int = 16) -> Problem:
    result = examine(content, size, "crop", 1_000_000)
    assert isinstance(result, Problem)
    return result


def pixels(content: bytes, size: int = 16, fit: str = "crop") -> np.ndarray:
    return np.asarray(picture(content, size, fit).image).astype(int)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {"lossless": True})],
)
def test_lossless_formats_keep_every_pixel(kind: str, options: dict) -> None:
    result = picture(encoded(PHOTO, kind, **options))
    assert np.array_equal(np.asarray(result.image), PIXELS)
    assert (result.original_format, result.original_size) == (kind, (16, 16))


def test_jpeg_is_read_and_a_phone_s_multi_picture_jpeg_is_one_too() -> None:
    smooth = Image.linear_gradient("L").resize((16, 16)).convert("RGB")
    assert np.abs(pixels(encoded(smooth, "JPEG", quality=95)) - np.asarray(smooth)).max() < 8
    assert picture(encoded(smooth, "MPO", save_all=True, append_images=[PHOTO])).original_format == "JPEG"


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_taken(kind: str) -> None:
    red, blue = Image.new("RGB", (16, 16), "red"), Image.new("RGB", (16, 16), "blue")
    colours = pixels(encoded(red, kind, save_all=True, append_images=[blue]))
    assert np.abs(colours - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_exif_orientation_brings_the_picture_upright(orientation: int, kind: str) -> None:
    upright = Image.fromarray(np.kron(np.arange(6).reshape(2, 3), np.ones((16, 16))).astype(np.uint8) * 40).convert(
        "RGB"
    )
    inverse = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright.transpose(Image.Transpose(inverse[orientation])) if orientation in inverse else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    result = picture(encoded(stored, kind, exif=exif), 32, "pad")
    assert result.original_size == (48, 32)
    assert np.abs(np.asarray(result.image).astype(int) - pixels(encoded(upright), 32, "pad")).max() <= 3


def test_broken_exif_does_not_cost_the_picture() -> None:
    content = encoded(PHOTO, "PNG", exif=b"Exif\0\0rubbish that is no TIFF header")
    assert np.array_equal(pixels(content), PIXELS)


def test_sixteen_bit_grey_is_scaled_and_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    for kind in ("PNG", "TIFF"):
        assert np.array_equal(pixels(encoded(Image.fromarray(ramp), kind))[..., 0], np.arange(256).reshape(16, 16))


def test_one_bit_grey_and_palette_pictures_become_rgb() -> None:
    bits = Image.fromarray(PIXELS[..., 0] > 127)
    assert np.array_equal(pixels(encoded(bits))[..., 1], (PIXELS[..., 0] > 127) * 255)
    grey = Image.fromarray(PIXELS[..., 0])
    assert np.array_equal(pixels(encoded(grey))[..., 2], PIXELS[..., 0])
    palette = PHOTO.quantize(16)
    assert np.array_equal(pixels(encoded(palette)), np.asarray(palette.convert("RGB")))


def test_what_is_transparent_becomes_white_in_every_mode() -> None:
    hidden = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    half = Image.new("RGBA", (16, 16), (0, 0, 0, 128))
    assert (pixels(encoded(hidden)) == 255).all()
    assert np.abs(pixels(encoded(half)) - 127).max() <= 1
    assert (pixels(encoded(Image.new("LA", (16, 16), (0, 0)))) == 255).all()
    palette = Image.new("P", (16, 16), 3)
    palette.putpalette([9] * 768)
    assert (pixels(encoded(palette, "PNG", transparency=3)) == 255).all()
    assert (pixels(encoded(palette, "GIF", transparency=3)) == 255).all()
    assert (pixels(encoded(Image.new("RGB", (16, 16), (1, 2, 3)), "PNG", transparency=(1, 2, 3))) == 255).all()


def test_cmyk_is_converted() -> None:
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    for kind in ("JPEG", "TIFF"):
        assert np.abs(pixels(encoded(cyan, kind)) - [0, 255, 255]).max() <= 4


def test_crop_keeps_the_centre_and_pad_keeps_everything() -> None:
    wide = Image.new("RGB", (64, 16), "white")
    wide.paste("black", (24, 0, 40, 16))
    assert (pixels(encoded(wide)) == 0).all()
    padded = pixels(encoded(Image.new("RGB", (64, 16), "black")), 16, "pad")
    assert (padded[6:10] == 0).all()
    assert (padded[:6] == 255).all()
    assert (padded[10:] == 255).all()


def test_shrinking_is_antialiased() -> None:
    fine = np.zeros((128, 128), np.uint8)
    fine[:, ::2] = 255
    inner = pixels(encoded(Image.fromarray(fine)))[2:-2, 2:-2]
    assert np.abs(inner - 127.5).max() < 8


def test_a_large_jpeg_decoded_in_part_looks_like_the_whole() -> None:
    photo = Image.effect_mandelbrot((640, 640), (-2, -1.5, 1, 1.5), 60).convert("RGB")
    content = encoded(photo, "JPEG", quality=95)
    whole = Image.open(io.BytesIO(content)).resize((32, 32), Image.Resampling.LANCZOS)
    assert np.abs(pixels(content, 32) - np.asarray(whole)).mean() < 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"just text", "not_an_image"),
        (b"<html><body>404</body></html>", "not_an_image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not_an_image"),
        (encoded(PHOTO, "PPM"), "not_an_image"),
        (encoded(PHOTO, "ICO"), "not_an_image"),
        (encoded(PHOTO, "JPEG")[:-40], "truncated"),
        (encoded(PHOTO, "PNG")[:-60], "truncated"),
        (encoded(PHOTO, "BMP")[:-60], "truncated"),
        (encoded(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"), "unsupported_pixels"),
        (encoded(Image.fromarray(np.zeros((4, 4), np.int32)), "TIFF"), "unsupported_pixels"),
    ],
)
def test_what_cannot_be_used_has_a_reason(content: bytes, reason: str) -> None:
    found = problem(content)
    assert found.reason == reason
    assert found.found


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_no_half_file_passes_as_a_picture(kind: str) -> None:
    content = encoded(PHOTO.resize((64, 64)), kind)
    assert isinstance(examine(content[: len(content) // 2], 16, "crop", 10**6), Problem)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    for side in (1001, 12_000, 60_000):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
        assert problem(bomb).reason == "too_large"


@pytest.mark.filterwarnings("ignore")
def test_no_damage_escapes_as_an_exception() -> None:
    rng = random.Random(0)
    kinds = [encoded(PHOTO, kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")]
    outcomes = set()
    for _ in range(1500):
        content = bytearray(rng.choice(kinds))
        for _ in range(rng.choice((1, 4, 16))):
            content[rng.randrange(min(len(content), 400))] = rng.randrange(256)
        result = examine(bytes(content[: rng.choice((len(content), rng.randrange(len(content))))]), 16, "pad", 10**6)
        outcomes.add(result.reason if isinstance(result, Problem) else "accepted")
    assert {"accepted", "truncated", "damaged", "not_an_image"} <= outcomes


def drawn(mode: str, kind: str, orientation: int) -> bytes:
    ramp = (np.arange(60 * 44 * 4).reshape(44, 60, 4) * 7 % 251).astype(np.uint8)
    if mode == "I;16":
        return encoded(Image.fromarray(ramp[..., 0].astype(np.uint16) * 259), kind)
    image = Image.fromarray(ramp)
    image = image.convert("RGB").convert(mode) if mode in {"CMYK", "P"} else image.convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, kind, **({"exif": exif} if kind != "BMP" else {}))


def test_pictures_are_named_as_they_were_when_the_first_data_sets_were_made() -> None:
    digest = hashlib.sha256()
    modes = {"PNG": "1 L LA P RGB RGBA I;16", "TIFF": "1 L LA P RGB RGBA CMYK I;16", "BMP": "1 L P RGB"}
    for kind, listed in modes.items():
        for turn, mode in enumerate(listed.split()):
            for size, fit in ((16, "crop"), (33, "pad")):
                digest.update(picture(drawn(mode, kind, turn + 1), size, fit).image.tobytes())
    assert digest.hexdigest() == "36b38d24ed19c257534bd18132f5cf833efa7bedea92f711a4953cac2e22c21b"


def test_a_strip_is_refused_that_would_take_seconds_to_scale() -> None:
    strip = encoded(Image.new("1", (8, 65_536)), "PNG")
    assert problem(strip) == Problem(
        "too_large", "8 x 65536 pixels, where no side may have more than 65535, by its header"
    )
    assert picture(encoded(Image.new("1", (8, 65_535)), "PNG"), 16, "pad")


def test_a_palette_picture_without_its_palette_is_damaged() -> None:
    content = encoded(PHOTO.quantize(16), "PNG")
    start = content.index(b"PLTE") - 4
    length = int.from_bytes(content[start : start + 4], "big")
    assert problem(content[:start] + content[start + 12 + length :]).reason == "damaged"


def test_a_lab_picture_is_the_same_whenever_it_is_read() -> None:
    assert "icc_profile" not in picture(encoded(PHOTO.convert("LAB"), "TIFF")).image.info
