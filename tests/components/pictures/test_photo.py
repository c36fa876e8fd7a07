"""A mended copy keeps all that was not mended: known pixels, grey, transparency, and what the file says beside them."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, JpegImagePlugin
from PIL.PngImagePlugin import PngInfo

from components.pictures.colours import to_rgb
from components.pictures.formats import format_of
from components.pictures.photo import Photo, Written
from components.pictures.reading import read_photo
from tests.components.pictures.conftest import HEIGHT, SRGB, WIDTH, XMP, encoded, exif, of_mode, smooth

HOLE = np.zeros((HEIGHT, WIDTH), bool)
HOLE[8:30, 10:31] = True
NEW = smooth(3, seed=9)

READ = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I;16B"),
    "JPEG": ("L", "RGB", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "BMP": ("1", "L", "P", "RGB"),
    "GIF": ("L", "P"),
}
LOSSLESS = ("a.png", "a.tif", "a.webp", "a.bmp", "a.jp2")
CASES = [(kind, mode) for kind, modes in READ.items() for mode in modes]
OPTIONS = {"WEBP": {"lossless": True, "exact": True}}


def photo_of(kind: str, mode: str, **options: object) -> Photo:
    return read_photo(encoded(of_mode(mode), kind, **OPTIONS.get(kind, {}), **options), "photo")


def opened(written: Written) -> Image.Image:
    image = Image.open(io.BytesIO(written.content))
    image.load()
    return image


def shown(image: Image.Image) -> np.ndarray:
    return np.asarray(to_rgb(image)).astype(int)


@pytest.mark.parametrize(("kind", "mode"), CASES)
@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_formats_keep_known_pixels_to_the_byte_and_show_what_was_mended(kind, mode, name):
    photo = photo_of(kind, mode)
    written = photo.written(NEW, HOLE, format_of(Path(name)))
    result = opened(written)
    assert np.array_equal(shown(result)[~HOLE], photo.pixels[~HOLE])
    assert written.greatest_change is None
    grey = mode in {"1", "L", "LA", "I;16", "I;16B"}
    expected = np.asarray(Image.fromarray(NEW).convert("L").convert("RGB") if grey else NEW)
    opaque = np.asarray(of_mode(mode).convert("RGBA").getchannel("A")) == 255 if mode != "LAB" else True
    apart = np.abs(shown(result) - expected)[HOLE & opaque]
    assert apart.max() <= (40 if mode == "LAB" else 1)


@pytest.mark.parametrize("mode", ["L", "LA", "I;16", "1"])
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg", "a.jp2"])
def test_grey_stays_grey(mode, name):
    kind = "TIFF" if mode == "1" else "PNG"
    assert opened(photo_of(kind, mode).written(NEW, HOLE, format_of(Path(name)))).mode in {"L", "LA"}


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp", "a.jp2"])
def test_transparency_stays_and_so_do_the_colours_that_it_hides(mode, name):
    source = of_mode(mode)
    result = opened(photo_of("PNG", mode).written(NEW, HOLE, format_of(Path(name))))
    assert np.array_equal(np.asarray(result.getchannel("A")), np.asarray(source.getchannel("A")))
    assert np.array_equal(np.asarray(result.convert("RGBA"))[~HOLE], np.asarray(source.convert("RGBA"))[~HOLE])


def test_a_transparent_palette_becomes_transparent_colours():
    source = of_mode("P")
    photo = read_photo(encoded(source, transparency=bytes([0, 100, 255])), "photo")
    result = opened(photo.written(NEW, HOLE, format_of(Path("a.png"))))
    before = np.asarray(Image.open(io.BytesIO(encoded(source, transparency=bytes([0, 100, 255])))).convert("RGBA"))
    assert np.array_equal(np.asarray(result.convert("RGBA"))[~HOLE], before[~HOLE])


@pytest.mark.parametrize("name", ["a.jpg", "a.bmp"])
def test_where_there_is_no_transparency_it_goes_to_white_and_that_is_said(name):
    photo = photo_of("PNG", "RGBA")
    written = photo.written(NEW, HOLE, format_of(Path(name)))
    assert "transparent parts are laid on white" in " ".join(written.notes)
    assert np.abs(shown(opened(written)) - photo.pixels)[~HOLE].max() <= (written.greatest_change or 0)


def test_modes_of_print_stay_where_the_format_has_them():
    for mode, name in (("CMYK", "a.tif"), ("CMYK", "a.jpg"), ("LAB", "a.tif")):
        assert opened(photo_of("TIFF", mode).written(NEW, HOLE, format_of(Path(name)))).mode == mode
    assert "CMYK becomes RGB" in " ".join(photo_of("TIFF", "CMYK").written(NEW, HOLE, format_of(Path("a.png"))).notes)


@pytest.mark.parametrize("quality", [30, 75, 98])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_is_coded_as_it_was_and_the_greatest_change_is_told(quality, subsampling, mode):
    content = encoded(of_mode(mode), "JPEG", quality=quality, subsampling=subsampling, progressive=quality == 75)
    source, photo = Image.open(io.BytesIO(content)), read_photo(content, "photo")
    written = photo.written(photo.pixels, HOLE, format_of(Path("a.jpg")))
    again = opened(written)
    assert (again.mode, again.quantization) == (mode, source.quantization)
    assert JpegImagePlugin.get_sampling(again) == JpegImagePlugin.get_sampling(source)
    assert again.info.get("progressive") == source.info.get("progressive")
    change = int(np.abs(shown(again) - photo.pixels)[~HOLE].max())
    assert written.greatest_change == change
    assert change <= (24 if subsampling else 4)


def test_known_parts_of_a_jpeg_that_is_mended_far_away_hardly_change():
    content = encoded(of_mode("RGB"), "JPEG", quality=90)
    photo = read_photo(content, "photo")
    result = shown(opened(photo.written(NEW, HOLE, format_of(Path("a.jpg")))))
    far = np.ones_like(HOLE)
    far[:48, :48] = False
    assert np.abs(result - photo.pixels)[far].max() <= 12


SAYS = {"icc_profile": SRGB, "dpi": (300, 300), "exif": exif(), "xmp": XMP}
KEPT = {
    "a.png": {"icc", "dpi", "exif", "xmp"},
    "a.jpg": {"icc", "dpi", "exif", "xmp"},
    "a.webp": {"icc", "exif", "xmp"},
}
KEPT |= {"a.tif": KEPT["a.jpg"], "a.avif": KEPT["a.webp"], "a.bmp": {"dpi"}, "a.jp2": set()}


def saying(kind: str, orientation: int = 1) -> bytes:
    options: dict[str, object] = {**SAYS, "exif": exif(orientation)}
    if kind == "PNG":
        text = PngInfo()
        text.add_itxt("XML:com.adobe.xmp", XMP.decode())
        text.add_text("Title", "A photo")
        options["pnginfo"] = text
    if kind == "TIFF":
        tags = Image.Exif()
        tags.load(exif(orientation).tobytes())
        tags[700] = XMP
        options["exif"] = tags
    return encoded(of_mode("RGB"), kind, **options)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("name", KEPT)
def test_what_a_file_says_is_kept_where_the_format_can_and_else_named(kind, name):
    written = read_photo(saying(kind), "photo").written(NEW, HOLE, format_of(Path(name)))
    result, kept, lost = opened(written), KEPT[name], " ".join(written.notes)
    assert (result.info.get("icc_profile") == SRGB) == ("icc" in kept) == ("ICC profile is lost" not in lost)
    found = result.getexif()
    assert (found.get(ExifTags.Base.Make) == "TestCam") == ("exif" in kept) == ("EXIF is lost" not in lost)
    if "exif" in kept:
        assert found.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] == "2026:01:02 03:04:05"
        assert found.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] == (48.0, 8.0, 15.5)
    assert (XMP in bytes(result.info.get("xmp", b""))) == ("xmp" in kept) == ("XMP is lost" not in lost)
    if "dpi" in kept and kind != "WEBP":
        assert result.info["dpi"] == pytest.approx((300, 300), abs=0.1)


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_turned_picture_is_written_upright_without_orientation(orientation, kind):
    photo = read_photo(saying(kind, orientation), "photo")
    hole = np.zeros(photo.pixels.shape[:2], bool)
    hole[5:9, 5:9] = True
    result = opened(photo.written(photo.pixels, hole, format_of(Path("a.png"))))
    assert result.getexif().get(ExifTags.Base.Orientation, 1) == 1
    assert result.getexif()[ExifTags.Base.Make] == "TestCam"
    assert np.array_equal(shown(result), photo.pixels)


def test_words_of_a_png_file_stay():
    written = read_photo(saying("PNG"), "photo").written(NEW, HOLE, format_of(Path("a.png")))
    assert opened(written).text["Title"] == "A photo"


def test_a_profile_of_another_colour_space_is_not_kept():
    content = encoded(of_mode("CMYK"), "TIFF", icc_profile=SRGB[:16] + b"CMYK" + SRGB[20:])
    photo = read_photo(content, "photo")
    assert "icc_profile" in opened(photo.written(NEW, HOLE, format_of(Path("a.tif")))).info
    written = photo.written(NEW, HOLE, format_of(Path("a.png")))
    assert "icc_profile" not in opened(written).info
    assert "the ICC profile is lost: it is not one of RGB pixels" in written.notes


def test_exif_that_cannot_be_read_is_lost_by_name_and_the_picture_is_not():
    content = encoded(of_mode("RGB"), "PNG", exif=b"Exif\0\0rubbish that is no TIFF header")
    written = read_photo(content, "photo").written(NEW, HOLE, format_of(Path("a.jpg")))
    assert "the EXIF is lost: it cannot be read" in written.notes


def test_what_is_too_long_for_jpeg_is_lost_by_name():
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP.decode() + " " * 70_000 + "<!---->")
    written = read_photo(encoded(of_mode("RGB"), pnginfo=text), "photo").written(NEW, HOLE, format_of(Path("a.jpg")))
    assert "the XMP is lost: JPEG holds at most 65000 bytes of it" in written.notes


@pytest.mark.parametrize("name", ["a.gif", "a.heic", "a", "a.txt", "a.pdf", ".png"])
def test_a_name_in_whose_format_pictures_are_not_written_is_refused_with_those_that_are(name):
    with pytest.raises(ValueError, match=r"expected \.png, \.jpg"):
        format_of(Path(name))
