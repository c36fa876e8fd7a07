"""`kintsugi repair` keeps all that was not mended, destroys nothing, and says in one line what it cannot do.

In this process and without a Prefect server.
"""

import hashlib
import io
import json
import resource
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from components.champions import files
from components.models.resnet import ResnetConfig
from components.pictures.formats import encoded, named
from components.pictures.metadata import Metadata
from components.pictures.provenance import Maker, marked
from components.pictures.reading import read_mask, read_photo
from components.recipes.export import ModelCard, export_digest, load_producer, write_export
from components.recipes.inpainter import InpainterConfig
from components.recipes.recipe import PRODUCER
from components.recipes.repair import repair
from components.tracking import registry, runs
from flows import cli

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens"),  # `main` reads sys.argv, as meant
]

SIZE = 16
PHOTO = np.random.default_rng(5).integers(0, 256, (30, 41, 3), np.uint8)
HOLE = np.zeros((30, 41), np.uint8)
HOLE[10:20, 5:25] = 255


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model."""
    recipe = InpainterConfig(network=ResnetConfig(width=8, blocks=1))
    folder = tmp_path_factory.mktemp("export")
    write_export(folder, recipe.build(SIZE, 1).networks[PRODUCER], ModelCard(size=SIZE, recipe=recipe, images=4))
    return folder


@pytest.fixture(scope="module")
def in_service(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose registry has it as champion."""
    home = tmp_path_factory.mktemp("registered")
    runs.configure(home)
    digest = export_digest(export)
    run_id = runs.open_run("kintsugi", "inpainter", digest)
    interface = InpainterConfig(network=ResnetConfig(width=8, blocks=1)).interface
    version = registry.register(
        "zoo-inpainter",
        registry.Export(export, digest, "inpainter", interface),
        lineage={},
        run_id=run_id,
        scores=registry.VersionScores({}, "{}"),
    )
    registry.promote("zoo-inpainter", version, judged_against=None)
    return home


class Ended(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def kintsugi(in_service: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> Callable[..., Ended]:
    """Call a command in a folder that holds photo.png and mask.png."""
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    Image.fromarray(HOLE).save(tmp_path / "mask.png")

    def call(*arguments: str) -> Ended:
        monkeypatch.setenv("KINTSUGI_HOME", str(in_service))
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["kintsugi", *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Ended(code, *capsys.readouterr())

    return call


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_a_picture_is_mended_over_itself_and_the_share_is_told(kintsugi, export, tmp_path):
    (tmp_path / "photo.png").chmod(0o640)
    ended = kintsugi("repair", "photo.png", "--mask", "mask.png", "-o", "photo.png")
    assert ended == (0, "photo.png: 16.3% of the picture missing, mended by zoo-inpainter version 1\n", "")
    assert np.array_equal(pixels(tmp_path / "photo.png"), repair(load_producer(export), PHOTO, HOLE > 0))
    assert stat.S_IMODE((tmp_path / "photo.png").stat().st_mode) == 0o640
    assert names(tmp_path) == ["mask.png", "photo.png"]


def test_a_jpeg_tells_its_greatest_change(kintsugi, tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "photo.jpg", quality=90)
    ended = kintsugi("repair", "photo.jpg", "--mask", "mask.png", "-o", "out.jpg")
    apart = np.abs(pixels(tmp_path / "out.jpg").astype(int) - pixels(tmp_path / "photo.jpg"))[HOLE == 0].max()
    assert f"all other pixels changed by at most {apart} of 255 levels in coding" in ended.out


def test_a_mask_can_be_said_to_be_meant_otherwise_and_grow(kintsugi, tmp_path):
    Image.fromarray(255 - HOLE).save(tmp_path / "inverted.png")
    refused = kintsugi("repair", "photo.png", "--mask", "inverted.png", "-o", "out.png")
    assert (refused.code, "inverted.png: it marks 83.7% of the pixels" in refused.err) == (2, True)
    said = ("repair", "photo.png", "--mask", "inverted.png", "--mask-is", "black", "--grow", "1", "-o", "out.png")
    assert "21.1% of the picture missing" in kintsugi(*said).out
    grown = read_mask((tmp_path / "mask.png").read_bytes(), "mask", grow_px=1)
    assert np.array_equal(pixels(tmp_path / "out.png")[~grown], PHOTO[~grown])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("photo.png", "-o", "out.png"), "only fills missing pixels; say with --mask which of photo.png are missing"),
        (("photo.png", "--mask", "black.png", "-o", "out.png"), "black.png: it marks no pixel"),
        (("photo.png", "--mask", "white.png", "-o", "out.png"), "white.png: it marks every pixel"),
        (
            ("photo.png", "--mask", "small.png", "-o", "out.png"),
            "small.png: 9 x 9 pixels, expected those of the picture, 41 x 30",
        ),
        (("torn.png", "--mask", "mask.png", "-o", "out.png"), "torn.png: cannot be read as a whole picture"),
        (("photo.png", "--mask", "torn.png", "-o", "out.png"), "torn.png: cannot be read as a whole picture"),
        (("heic.png", "--mask", "mask.png", "-o", "out.png"), "heic.png: not a picture in a known format: HEIC"),
        (("float.tif", "--mask", "mask.png", "-o", "out.png"), "float.tif: pixels of mode F"),
        (("none.png", "--mask", "mask.png", "-o", "out.png"), "none.png: cannot be read (No such file or directory)"),
        (
            ("none.png", "-o", "out.gif"),
            "out.gif: cannot be written; .gif names no format that is written; expected .png",
        ),
        (("photo.png", "--enlarge", "2", "-o", "out.png"), "one that restores everything can enlarge"),
        ((".", "--masks", ".", "--enlarge", "2", "-o", "out"), "--enlarge 2: expected a single picture, . is a folder"),
        (("none.png", "-o", "away/out.png"), "away/out.png: there is no folder away"),
        (("none.png", "-o", "folder.png"), "folder.png: a folder, expected the name of a file"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line_and_nothing_is_written(arguments, words, kintsugi, tmp_path):
    for name, level in (("black", 0), ("white", 255)):
        Image.new("L", (41, 30), level).save(tmp_path / f"{name}.png")
    Image.fromarray(np.eye(9, dtype=bool)).save(tmp_path / "small.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "photo.png").read_bytes()[:900])
    (tmp_path / "heic.png").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    Image.new("F", (41, 30)).save(tmp_path / "float.tif")
    (tmp_path / "folder.png").mkdir()
    before = names(tmp_path)
    ended = kintsugi("repair", *arguments)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1), ended.err
    assert words in ended.err
    assert names(tmp_path) == before


def test_a_save_that_fails_leaves_the_old_bytes_and_nothing_else(tmp_path):
    target = tmp_path / "photo.png"
    target.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(ValueError, match=r"photo\.png: cannot be written \(File too large\)"):
            files.save(bytes(5000), target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["photo.png"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.png").write_bytes(b"old")
    (tmp_path / "link.png").symlink_to("real.png")
    files.save(b"new", tmp_path / "link.png")
    assert (tmp_path / "link.png").is_symlink()
    assert (tmp_path / "real.png").read_bytes() == b"new"


def test_grey_and_transparent_pictures_come_back_as_what_they_were(kintsugi, tmp_path):
    for mode in ("L", "LA", "RGBA"):
        image = Image.fromarray(np.dstack([PHOTO, np.where(HOLE[::-1] > 0, 9, 255).astype(np.uint8)])).convert(mode)
        image.save(tmp_path / "source.png")
        assert kintsugi("repair", "source.png", "--mask", "mask.png", "-o", "out.png").code == 0
        result = Image.open(tmp_path / "out.png")
        assert result.mode == mode
        assert np.array_equal(np.asarray(result)[HOLE == 0], np.asarray(image)[HOLE == 0])
    assert read_photo((tmp_path / "out.png").read_bytes(), "out").decoded.size == (41, 30)


def test_a_sheet_is_written_in_the_format_of_its_name(kintsugi, tmp_path):
    ended = kintsugi("generate", "--model", "zoo-inpainter", "-o", "sheet.gif")
    assert (ended.code, ended.err.startswith("error: sheet.gif: cannot be written; .gif names no format")) == (2, True)
    buffer = io.BytesIO()
    Image.fromarray(PHOTO).save(buffer, "PNG")
    assert (tmp_path / "photo.png").read_bytes() == buffer.getvalue()


def folders(root: Path) -> None:
    """Make a folder of pictures, one of them torn and one without a mask, and a folder of masks."""
    for name in ("a.png", "b.jpg", "deep/c.png", "d.gif", "torn.png", "lone.png"):
        for folder in ("photos", "masks"):
            (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(PHOTO).save(root / "photos" / name)
    (root / "photos" / "torn.png").write_bytes((root / "photos" / "a.png").read_bytes()[:900])
    for junk in (".DS_Store", "._a.png", "Thumbs.db"):
        (root / "photos" / junk).write_bytes(b"junk")
    for name in ("a.png", "b_mask.png", "deep/c.jpg", "d.png", "torn.png"):
        Image.fromarray(HOLE).save(root / "masks" / name)


def changed_at(root: Path) -> dict[str, int]:
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def test_a_folder_is_mended_and_what_cannot_be_is_named(kintsugi, export, tmp_path):
    folders(tmp_path)
    ended = kintsugi("repair", "photos", "--masks", "masks", "-o", "out")
    assert (ended.code, ended.out) == (2, "out: 4 pictures mended by zoo-inpainter version 1, 2 refused\n")
    assert "error: photos/torn.png: cannot be read as a whole picture" in ended.err
    assert "error: photos/lone.png: expected one mask called lone in masks, found none" in ended.err
    assert set(changed_at(tmp_path / "out")) == {"a.png", "b.jpg", "d.gif.png", "deep/c.png"}
    assert np.array_equal(pixels(tmp_path / "out" / "a.png"), repair(load_producer(export), PHOTO, HOLE > 0))


@pytest.mark.parametrize("output", ["out", "photos"])
def test_the_same_command_does_only_what_is_left_or_has_changed(output, kintsugi, tmp_path):
    folders(tmp_path)
    command = ("repair", "photos", "--masks", "masks", "-o", output)
    kintsugi(*command)
    before = changed_at(tmp_path / output)
    (tmp_path / output / "a.png").unlink()
    Image.fromarray(PHOTO).save(tmp_path / "photos" / "a.png")
    Image.fromarray(np.roll(HOLE, 3, 1)).save(tmp_path / "masks" / "b_mask.png")
    ended = kintsugi(*command)
    assert f"{output}: 2 pictures mended by zoo-inpainter version 1" in ended.out
    after = changed_at(tmp_path / output)
    assert {name for name in after if after[name] != before.get(name)} == {"a.png", "b.jpg"}


def test_a_folder_that_can_take_no_more_ends_the_command_at_once(kintsugi, tmp_path):
    folders(tmp_path)
    (tmp_path / "out").write_bytes(b"")
    ended = kintsugi("repair", "photos", "--masks", "masks", "-o", "out")
    assert (ended.code, ended.err) == (2, "error: out: expected a folder, as photos is one\n")
    assert kintsugi("repair", "photos", "-o", "away").code == 2
    assert kintsugi("repair", "photos", "--masks", "mask.png", "-o", "away").code == 2
    assert not (tmp_path / "away").exists()


def test_a_picture_leads_back_to_the_version_that_mended_it(kintsugi, tmp_path):
    kintsugi("repair", "photo.png", "--mask", "mask.png", "-o", "out.webp")
    ended = kintsugi("verify", "out.webp")
    assert ended.code == 0, ended
    assert ended.out.startswith(
        "out.webp: compositeWithTrainedAlgorithmicMedia by zoo-inpainter version 1, of the file "
    )
    assert ended.out.endswith("zoo-inpainter version 1: whole\n")
    said = json.loads(kintsugi("verify", "out.webp", "--json").out)
    assert said["problems"] == []
    assert said["provenance"]["source"] == hashlib.sha256((tmp_path / "photo.png").read_bytes()).hexdigest()


def test_a_picture_that_names_another_version_or_none_is_not_verified(kintsugi, tmp_path):
    for version, export, words in (
        (9, "0", "zoo-inpainter version 9 is not in this registry"),
        (1, "0", "the picture says 0"),
    ):
        said = marked(Metadata(), Maker("zoo-inpainter", version, export).made(0))
        (tmp_path / "made.png").write_bytes(encoded(Image.fromarray(PHOTO), named("PNG"), said))
        ended = kintsugi("verify", "made.png")
        assert (ended.code, words in ended.out) == (1, True), ended
    kintsugi("repair", "photo.png", "--mask", "mask.png", "-o", "out.png", "--no-mark")
    ended = kintsugi("verify", "out.png")
    assert (ended.code, "out.png: says nothing of a model" in ended.err) == (2, True)
    assert kintsugi("verify", "none.png").code == 2


def test_a_picture_that_names_only_an_export_leads_to_the_version_that_has_it(kintsugi, export, tmp_path):
    for digest, words, code in (
        (export_digest(export), "trainedAlgorithmicMedia by zoo-inpainter version 1, seed 0", 0),
        ("0", "the export 0 is not in this registry", 1),
    ):
        said = marked(Metadata(), Maker(None, None, digest).made(0))
        (tmp_path / "made.png").write_bytes(encoded(Image.fromarray(PHOTO), named("PNG"), said))
        ended = kintsugi("verify", "made.png")
        assert (ended.code, words in ended.out) == (code, True), ended


def test_a_side_is_taken_from_the_command(kintsugi, tmp_path):
    assert kintsugi("repair", "photo.png", "--mask", "mask.png", "-o", "out.png", "--size", "32").code == 0
    assert np.array_equal(pixels(tmp_path / "out.png")[HOLE == 0], PHOTO[HOLE == 0])
    refused = kintsugi("repair", "photo.png", "--mask", "mask.png", "-o", "out.png", "--size", "3")
    assert (refused.code, refused.err.startswith("error: a side of 3 px, expected at least ")) == (2, True)
