"""`from kintsugi import champion` mends and makes what the command line does, and says in its words what it cannot."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from components.pictures.provenance import provenance_of
from components.recipes.export import load_producer
from components.recipes.repair import repair
from tests.components.champions.conftest import HOLE, PHOTO

pytestmark = pytest.mark.slow


def said(path: Path):
    with Image.open(path) as image:
        return provenance_of(image)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder that holds photo.png and mask.png, and is the current one."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PHOTO).save("photo.png")
    Image.fromarray(HOLE).save("mask.png")
    return tmp_path


def test_a_champion_says_who_it_is_and_is_found_by_the_last_part_of_its_name(champion):
    mender, earlier, maker = champion("inpainter"), champion("zoo-inpainter", version=1), champion("zoo-gan")
    assert (mender.name, mender.version, earlier.version, repr(mender)) == (
        "zoo-inpainter", 2, 1, "<zoo-inpainter version 2>",
    )  # fmt: skip
    assert (mender.classes, len(maker.classes)) == ((), 2)
    assert not np.array_equal(mender.repair(PHOTO, HOLE), earlier.repair(PHOTO, HOLE))


def test_paths_pictures_and_arrays_are_mended_alike_and_known_pixels_stay(champion, registered, files):
    mender = champion("inpainter")
    expected = repair(load_producer(registered / "exports" / "inpainter-1"), PHOTO, HOLE)
    image, mask = Image.fromarray(PHOTO), Image.fromarray(HOLE)
    for one, marks in (
        ("photo.png", "mask.png"),
        (Path("photo.png"), mask),
        (image, HOLE),
        (PHOTO, HOLE * np.uint8(255)),
    ):
        assert np.array_equal(mender.repair(one, marks), expected)
    assert np.array_equal(image, PHOTO)
    assert np.array_equal(expected[~HOLE], PHOTO[~HOLE])
    with Image.open("photo.png") as opened, Image.open("mask.png") as marks:
        assert np.array_equal(mender.repair(opened, marks), expected)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "CMYK"])
def test_a_picture_comes_back_in_its_own_mode_and_size(mode, champion):
    image = Image.fromarray(np.dstack([PHOTO, np.where(HOLE[::-1], 9, 255).astype(np.uint8)])).convert(mode)
    mended = champion("inpainter").repair(image, HOLE)
    assert (mended.mode, mended.size) == (mode, image.size)
    assert np.array_equal(np.asarray(mended)[~HOLE], np.asarray(image)[~HOLE])


def test_a_picture_on_its_side_is_mended_upright_and_not_turned_in_the_callers_hands(champion):
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[274] = 6
    Image.fromarray(PHOTO).save(buffer, "JPEG", exif=exif)
    with Image.open(buffer) as image:
        mended = champion("inpainter").repair(image, np.rot90(HOLE, 3))
        assert (mended.size, image.size) == ((30, 41), (41, 30))


def test_masks_are_read_as_the_command_line_reads_them(champion):
    mender = champion("inpainter")
    inverted = Image.fromarray(~HOLE)
    with pytest.raises(ValueError, match=r"^the mask: it marks 83.7% of the pixels, .* mask-is white, black or alpha"):
        mender.repair(PHOTO, inverted)
    assert np.array_equal(mender.repair(PHOTO, inverted, mask_is="black"), mender.repair(PHOTO, HOLE))
    grown = np.asarray(mender.repair(PHOTO, HOLE, grow=1))
    assert (grown != PHOTO).any(axis=2).sum() > HOLE.sum()
    wide = np.ones((30, 41), bool)
    wide[0] = False
    assert mender.repair(PHOTO, wide).size == (41, 30)  # True is missing; nobody has to say so


def test_a_file_is_written_as_by_the_command_over_the_picture_itself(champion, files):
    exif = Image.Exif()
    exif[272] = "camera"
    Image.fromarray(PHOTO).save("photo.jpg", exif=exif)
    mended = champion("inpainter").repair("photo.jpg", "mask.png", to="photo.jpg")
    with Image.open("photo.jpg") as written:
        assert written.getexif()[272] == "camera"
        assert written.size == mended.size
    told = said(Path("photo.jpg"))
    assert (told.source_type, told.model, told.version) == ("compositeWithTrainedAlgorithmicMedia", "zoo-inpainter", 2)
    champion("inpainter").repair(PHOTO, HOLE, to=files / "plain.png", mark=False)
    assert said(files / "plain.png") is None
    champion("inpainter").repair(PHOTO, HOLE, to=files / "marked.png")
    assert (said(files / "marked.png").source, sorted(path.name for path in files.iterdir())) == (
        None, ["marked.png", "mask.png", "photo.jpg", "photo.png", "plain.png"],
    )  # fmt: skip


def test_a_model_that_restores_everything_needs_no_mask(champion):
    mender = champion("restorer")
    assert mender.restores_known
    assert (np.asarray(mender.repair(PHOTO)) != PHOTO).any()


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_a_picture_is_restored_in_a_size_of_its_own(mode, champion, tmp_path):
    mender, picture = champion("restorer"), Image.fromarray(PHOTO).convert(mode)
    restored = mender.repair(picture, enlarge=2, to=tmp_path / "large.png")
    assert restored.size == (2 * picture.width, 2 * picture.height)
    height, width = PHOTO.shape[:2]
    plain = cv2.resize(np.asarray(picture.convert("RGB")), (2 * width, 2 * height), interpolation=cv2.INTER_CUBIC)
    expected = np.asarray(mender.repair(Image.fromarray(plain)))
    if mode == "RGB":
        assert np.array_equal(restored, expected)
    with Image.open(tmp_path / "large.png") as written:
        assert written.size == restored.size


def test_what_says_a_file_beside_its_pixels_is_said_of_the_enlarged_one(champion, tmp_path):
    small = tmp_path / "small.jpg"
    Image.fromarray(PHOTO).save(small, dpi=(72, 72), quality=95)
    champion("restorer").repair(small, enlarge=4, to=tmp_path / "large.jpg")
    with Image.open(tmp_path / "large.jpg") as written:
        assert written.size == (4 * PHOTO.shape[1], 4 * PHOTO.shape[0])
        assert written.info["dpi"] == (72, 72)


def test_pictures_are_those_of_the_command_and_more_extend_fewer(champion, registered, tmp_path):
    maker, producer = champion("gan"), load_producer(registered / "exports" / "gan-0")
    made = maker.generate(3, seed=7)
    assert [(one.mode, one.size) for one in made] == [("RGB", (16, 16))] * 3
    assert np.array_equal(np.stack(made), producer.generate(3, 7))
    name = maker.classes[1]
    assert np.array_equal(np.stack(maker.generate(2, 7, of=name)), producer.generate_class(name, 2, 7))
    maker.generate(2, 7, of=name, to=tmp_path / "made")
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["7-00000.png", "7-00001.png"]
    told = said(tmp_path / "made" / "7-00001.png")
    assert (told.seed, told.number, told.of, told.model) == (7, 1, name, "zoo-gan")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (lambda c: c("bird"), "model bird is not registered; there are: zoo-gan, zoo-inpainter, zoo-restorer, zoo-vae"),
        (lambda c: c("gan", version=9), "zoo-gan has no version 9"),
        (lambda c: c("gan").repair(PHOTO, HOLE), "zoo-gan version 1 makes pictures and mends none"),
        (lambda c: c("inpainter").generate(), "zoo-inpainter version 2 mends pictures and makes none"),
        (lambda c: c("vae").generate(of="cat"), "zoo-vae version 1 was trained without classes"),
        (lambda c: c("gan").generate(of="emu"), "class 'emu': expected one of "),
        (lambda c: c("gan").generate(0), "0 pictures were asked for, expected at least 1"),
        (lambda c: c("inpainter").repair(PHOTO, HOLE, enlarge=2), "one that restores everything can enlarge"),
        (lambda c: c("restorer").repair(PHOTO, enlarge=9), "enlarge 9: expected 1 to 8"),
        (lambda c: c("restorer").repair(np.zeros((3000, 3000), np.uint8), enlarge=4), "would have 144 million pixels"),
        (lambda c: c("inpainter").repair("photo.png"), "only fills missing pixels; say with a mask which of photo.png"),
        (lambda c: c("inpainter").repair("no.png", "mask.png"), "no.png: cannot be read (No such file or directory)"),
        (lambda c: c("inpainter").repair("photo.png", "torn.png"), "torn.png: cannot be read as a whole picture"),
        (lambda c: c("inpainter").repair(PHOTO, HOLE[:9, :9]), "the mask: 9 x 9 pixels, expected those of the picture"),
        (lambda c: c("inpainter").repair(PHOTO, ~HOLE & HOLE), "the mask: it marks no pixel"),
        (lambda c: c("inpainter").repair(PHOTO, HOLE | ~HOLE), "the mask: it marks every pixel"),
        (lambda c: c("inpainter").repair(PHOTO / 255, HOLE), "the picture: an array of float64, expected uint8 levels"),
        (lambda c: c("inpainter").repair(PHOTO[0, 0], HOLE), "the picture: an array of shape (3,), expected (height,"),
        (lambda c: c("inpainter").repair(7, HOLE), "the picture: found int, expected a path, one of Pillow's"),
        (lambda c: c("inpainter").repair(Image.new("F", (4, 4)), HOLE), "the picture: pixels of mode F (32 bits) have"),
        (lambda c: c("inpainter").repair(PHOTO, HOLE, to="out.gif"), "out.gif: cannot be written; .gif names no"),
        (lambda c: c("inpainter").repair(PHOTO, HOLE, to="away/a.png"), "away/a.png: there is no folder away"),
        (lambda c: c("gan").generate(to="photo.png"), "photo.png: cannot be made a folder (File exists)"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("shapes_unchecked", "files")
def test_what_cannot_be_done_is_a_value_error_in_one_line(asked, words, champion):
    Path("torn.png").write_bytes(Path("photo.png").read_bytes()[:900])
    with pytest.raises(ValueError, match=re.escape(words)) as refused:
        asked(champion)
    assert "\n" not in str(refused.value)


def test_naming_it_imports_nothing_that_takes_seconds(root):
    program = (
        "import sys, components.kintsugi as kintsugi\n"
        "print(*(name for name in ('numpy', 'PIL', 'pydantic') if name in sys.modules))\n"
        "kintsugi.champion\n"
        "print(*(name for name in ('torch', 'mlflow', 'prefect', 'boto3') if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env=os.environ, capture_output=True, text=True, check=True
    )
    assert done.stdout == "\n\n"
