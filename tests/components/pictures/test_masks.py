"""What a mask marks is found out from what it looks like, rims included, or it is refused with counts."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from components.pictures.reading import FORMATS, WEB_FORMATS, read_mask

HEIGHT, WIDTH = 90, 120


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def stroke() -> np.ndarray:
    """Return how much of each pixel a slanted stroke and a spot cover, in levels of 255."""
    large = Image.new("L", (WIDTH * 4, HEIGHT * 4))
    pen = ImageDraw.Draw(large)
    pen.line((40, 40, 400, 300), fill=255, width=22)
    pen.ellipse((300, 60, 380, 150), fill=255)
    return np.asarray(large.resize((WIDTH, HEIGHT), Image.Resampling.BOX))


COVER = stroke()
TOUCHED, INSIDE = COVER > 0, COVER > 127


def between(ground: tuple[int, ...], mark: tuple[int, ...], cover: np.ndarray = COVER) -> Image.Image:
    share = cover[..., None] / 255
    return Image.fromarray(np.rint(np.array(ground) * (1 - share) + np.array(mark) * share).astype(np.uint8))


def read(image: Image.Image, kind: str = "PNG", options: dict | None = None, **meaning: object) -> np.ndarray:
    return read_mask(encoded(image, kind, **(options or {})), "mask", **meaning)


BLACK, WHITE, RED, BLUE, GREEN = (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 0, 255), (0, 255, 0)
PAIRS = [(BLACK, WHITE), (BLACK, RED), (WHITE, RED), (WHITE, BLUE), ((128, 128, 128), GREEN), (BLACK, (128, 0, 0))]


@pytest.mark.parametrize(("ground", "mark"), PAIRS)
def test_the_rims_of_soft_marks_belong_to_the_hole_whatever_the_colours(ground, mark):
    assert np.array_equal(read(between(ground, mark)), TOUCHED)


@pytest.mark.parametrize(("ground", "mark"), PAIRS)
@pytest.mark.parametrize("quality", [30, 75, 95])
def test_what_a_jpeg_leaves_on_the_ground_is_not_marked_and_what_is_marked_stays(ground, mark, quality):
    hole = read(between(ground, mark), "JPEG", {"quality": quality})
    assert (INSIDE & ~hole).sum() <= 0.02 * INSIDE.sum()
    near = np.asarray(Image.fromarray(TOUCHED).convert("L").filter(ImageFilter.MaxFilter(5))) > 0
    assert (hole & ~near).sum() <= 0.02 * hole.sum()


def test_noise_of_a_codec_is_known_in_a_lossless_file_too():
    noisy = Image.open(io.BytesIO(encoded(between(BLACK, WHITE), "JPEG", quality=30)))
    hole = read(noisy.convert("RGB"))
    assert not (INSIDE & ~hole).any()
    assert not (hole & ~TOUCHED).any()


def palette() -> Image.Image:
    image = Image.fromarray(INSIDE.astype(np.uint8)).convert("P")
    image.putpalette([0, 0, 0, 128, 0, 0] + [0] * 750)
    return image


def layer(colour: tuple[int, ...], hidden: tuple[int, ...] = BLACK, opacity: float = 1) -> Image.Image:
    """Return strokes of one colour on a transparent layer."""
    colours = np.where(TOUCHED[..., None], np.uint8(colour), np.uint8(hidden))
    return Image.fromarray(np.dstack([colours, (COVER * opacity).astype(np.uint8)]))


SAME: dict[str, tuple[Callable[[], Image.Image], np.ndarray]] = {
    "one bit": (lambda: Image.fromarray(INSIDE), INSIDE),
    "numbers 0 and 1": (lambda: Image.fromarray(INSIDE.astype(np.uint8)), INSIDE),
    "numbers 0 and 76": (lambda: Image.fromarray(INSIDE.astype(np.uint8) * 76), INSIDE),
    "16 bits": (lambda: Image.fromarray(COVER.astype(np.uint16) * 257), TOUCHED),
    "numbers 0 and 1 in 16 bits": (lambda: Image.fromarray(INSIDE.astype(np.uint16)), INSIDE),
    "a palette": (palette, INSIDE),
    "black strokes on a layer": (lambda: layer(BLACK), TOUCHED),
    "white strokes on a layer that hides white": (lambda: layer(WHITE, WHITE), TOUCHED),
    "black strokes on a layer that hides white": (lambda: layer(BLACK, WHITE), TOUCHED),
    "faint red strokes on a layer": (lambda: layer(RED, opacity=0.5), COVER // 2 > 0),
    "white on black, all opaque": (lambda: between(BLACK, WHITE).convert("RGBA"), TOUCHED),
    "a soft brush": (lambda: Image.fromarray(COVER).filter(ImageFilter.GaussianBlur(2)), None),
}


@pytest.mark.parametrize("what", SAME)
def test_every_usual_kind_of_mask_marks_what_it_shows(what):
    make, expected = SAME[what]
    assert np.array_equal(read(make()), np.asarray(make()) > 0 if expected is None else expected)


def shades(levels: int) -> Image.Image:
    return Image.fromarray(np.linspace(0, levels, WIDTH * HEIGHT).astype(np.uint8).reshape(HEIGHT, WIDTH))


def labelled(*levels: tuple[int, ...]) -> Image.Image:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for place, level in enumerate(levels):
        image[10 + 20 * place : 20 + 20 * place, 20:60] = level
    return Image.fromarray(image)


REFUSED = {
    "inverted": (lambda: between(WHITE, BLACK), r"marks 9\d\.\d% of the pixels"),
    "all of one grey": (lambda: Image.new("L", (9, 9), 7), r"have the colour \(7, 7, 7\), so that it marks nothing"),
    "a photo in colour": (
        lambda: Image.effect_noise((200, 200), 60).convert("RGB").resize((90, 90), box=(0, 0, 50, 50)),
        "pixels lie between|levels, where a mask has two",
    ),
    "a dim ramp": (lambda: shades(76), "no pixel is white; the brightest has 76 of 255"),
    "a ramp": (lambda: shades(255), "of its pixels lie between its two colours|more than two colours"),
    "red and blue marks": (lambda: labelled(RED, BLUE), r"more than two colours.*\(255, 0, 0\) 3\.7%"),
    "red and white marks": (lambda: labelled(RED, WHITE), "more than two colours"),
    "numbers 0, 1 and 2": (lambda: labelled((1, 1, 1), (2, 2, 2)), "no pixel is white; the brightest has 2 of 255"),
    "numbers 0, 1 and 255": (lambda: labelled((1, 1, 1), WHITE), "400 pixels are marked faintly, at 1 of 255"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_can_be_read_in_two_ways_is_refused_with_counts(what):
    make, words = REFUSED[what]
    with pytest.raises(ValueError, match=f"mask: .*({words})"):
        read(make())


def test_a_black_mask_marks_nothing_and_a_white_one_everything():
    assert not read(Image.new("L", (9, 9))).any()
    assert read(Image.new("L", (9, 9), 255)).all()


def test_a_person_can_say_what_marks():
    inverted = between(WHITE, BLACK)
    assert np.array_equal(read(inverted, meaning="black"), TOUCHED)
    assert read(inverted, meaning="white").mean() > 0.8
    assert np.array_equal(read(layer(RED), meaning="alpha"), TOUCHED)
    with pytest.raises(ValueError, match="no pixel is white; the brightest has 76 of 255"):
        read(between(BLACK, RED), meaning="white")
    with pytest.raises(ValueError, match="no pixel is black; the darkest has 128 of 255"):
        read(between((128, 128, 128), WHITE), meaning="black")
    with pytest.raises(ValueError, match="its opacity is 255 of 255 everywhere"):
        read(between(BLACK, WHITE), meaning="alpha")


def test_marks_grow_by_so_many_pixels_on_all_sides():
    dot = np.zeros((21, 21), np.uint8)
    dot[10, 10] = 255
    rows, columns = np.mgrid[:21, :21] - 10
    for radius in (1, 2.5, 6):
        expected = np.hypot(rows, columns) <= radius
        assert np.array_equal(read(Image.fromarray(dot), grow_px=radius), expected)
    with pytest.raises(ValueError, match="cannot grow by -1 px"):
        read(Image.fromarray(dot), grow_px=-1)
    assert read(Image.fromarray(dot), grow_px=40).all()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "TIFF"])
def test_formats_agree(kind):
    assert np.array_equal(read(between(BLACK, WHITE), kind, {"lossless": True}), TOUCHED)
    assert set(WEB_FORMATS) < set(FORMATS)
