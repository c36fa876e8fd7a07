"""Sources hand over every file once, in one order, and never wait for or follow what they must not."""

import os
import socket
import struct
import zipfile
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from components.data.sources import (
    FolderSource,
    OpenMojiSource,
    ShapesSource,
    Source,
    SourceConfig,
    TorchvisionSource,
    ZipSource,
)
from tests.examples import examples


@pytest.mark.parametrize("source", examples(SourceConfig))
def test_every_source_can_be_named_in_yaml_by_its_kind(source: Source) -> None:
    named = TypeAdapter(SourceConfig).validate_python({"kind": source.kind, **source.model_dump(exclude={"kind"})})
    assert type(named) is type(source)
    assert named == source
    assert source.describe()


def test_a_misspelt_option_of_a_source_is_refused() -> None:
    assert isinstance(TypeAdapter(SourceConfig).validate_python({"kind": "shapes", "images": 3}), ShapesSource)
    with pytest.raises(ValidationError, match="Extra inputs"):
        TypeAdapter(SourceConfig).validate_python({"kind": "shapes", "imges": 3})


def test_shapes_are_the_same_each_time_and_a_larger_count_keeps_the_first() -> None:
    few, many = list(ShapesSource(images=3).items()), list(ShapesSource(images=5).items())
    assert few == many[:3]
    assert len({item.content for item in many}) == 5
    assert ShapesSource(images=3).fingerprint() != ShapesSource(images=3, seed=1).fingerprint()
    assert ShapesSource(images=7).count() == 7


def test_shapes_may_be_classed_by_the_number_of_figures_and_are_drawn_the_same() -> None:
    plain, classed = (list(ShapesSource(images=30, labels=labels).items()) for labels in (False, True))
    assert [item.content for item in plain] == [item.content for item in classed]
    assert {item.label for item in plain} == {None}
    assert {item.label for item in classed} == {"one figure", "two figures", "three figures"}


def test_openmoji_is_drawn_at_twice_the_dataset_size_and_limits_nest() -> None:
    small = OpenMojiSource(limit=3).for_size(16)
    assert small.raster_px == 32
    assert OpenMojiSource(limit=3, raster_px=50).for_size(16).raster_px == 50
    items = list(small.items())
    assert [struct.unpack(">II", item.content[16:24]) for item in items] == [(32, 32)] * 3
    assert {item.name for item in items} < {path.name for path in OpenMojiSource(limit=9)._files()}
    assert OpenMojiSource().count() > 4000
    assert small.licence() == "CC BY-SA 4.0, OpenMoji"
    assert small.fingerprint() != small.for_size(16).model_copy(update={"limit": 4}).fingerprint()


def test_a_folder_is_read_recursively_and_by_pattern(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("b/two.PNG", "b/notes.txt", "one.png"):
        (tmp_path / name).write_bytes(name.encode())
    source = FolderSource(path=tmp_path, patterns=("*.png",))
    assert [(item.name, item.content) for item in source.items()] == [
        ("one.png", b"one.png"),
        ("b/two.PNG", b"b/two.PNG"),
    ]
    assert source.count() == 2
    assert FolderSource(path=tmp_path).count() == 3


def test_a_folder_fingerprint_follows_content_and_names_not_place_or_times(tmp_path: Path) -> None:
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "a.png").write_bytes(b"1")
    os.utime(tmp_path / "there" / "a.png", (0, 0))
    here, there = (FolderSource(path=tmp_path / place) for place in ("here", "there"))
    assert here.fingerprint() == there.fingerprint()
    (tmp_path / "there" / "a.png").write_bytes(b"2")
    assert here.fingerprint() != there.fingerprint()


def test_links_that_lead_out_are_refused_and_links_within_are_read(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (root / "real").write_bytes(b"inside")
    (root / "in").symlink_to("real")
    (root / "out").symlink_to("../secret")
    (root / "loop").symlink_to("loop")
    (root / "folder").symlink_to(".")
    found = {item.name: item for item in FolderSource(path=root).items()}
    assert found["in"].content == b"inside"
    assert {name: item.problem.reason for name, item in found.items() if item.problem} == {
        "out": "link_outside",
        "loop": "unreadable",
        "folder": "not_regular",
    }
    assert b"secret" not in {item.content for item in found.values()}


@pytest.mark.timeout(10)
def test_pipes_and_sockets_never_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        reasons = {item.name: item.problem.reason for item in FolderSource(path=tmp_path).items() if item.problem}
    assert reasons == {"pipe": "not_regular", "socket": "unreadable"}


def test_odd_file_names_become_printable(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9\n.png")).write_bytes(b"x")
    (item,) = FolderSource(path=tmp_path).items()
    assert item.name == "caf\\xe9\n.png"
    item.name.encode()


JUNK = (
    "._one.jpg", "trip/._two.jpg", ".DS_Store", "trip/.DS_Store", "Thumbs.db", "trip/desktop.ini", "Desktop.ini",
    "@eaDir/one.jpg/SYNOPHOTO_THUMB_M.jpg", "$RECYCLE.BIN/$R1.jpg", ".Trashes/501/old.jpg", "__MACOSX/._one.jpg",
)  # fmt: skip


def test_what_systems_put_beside_photos_is_no_part_of_a_folder_nor_of_its_fingerprint(tmp_path: Path) -> None:
    for name in ("one.jpg", "trip/two.jpg", "trip/_three.jpg", "trip/.hidden.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    source = FolderSource(path=tmp_path)
    before = source.fingerprint(), source.signature(), source.count()
    for name in JUNK:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"junk")
    assert (source.fingerprint(), source.signature(), source.count()) == before
    assert [item.name for item in source.items()] == ["one.jpg", "trip/.hidden.jpg", "trip/_three.jpg", "trip/two.jpg"]


def test_what_systems_put_beside_photos_is_no_part_of_a_zip_nor_shifts_its_classes(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("pets/cat/1.png", "pets/dog/1.png", *JUNK):
            archive.writestr(name, b"x")
    items = list(ZipSource(path=tmp_path / "a.zip", labels=True).items())
    assert [(item.name, item.label) for item in items] == [("pets/cat/1.png", "cat"), ("pets/dog/1.png", "dog")]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere is not there"):
        FolderSource(path=tmp_path / "nowhere").count()


def test_a_zip_is_read_in_place_and_its_damage_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("z/one.png", b"one")
        archive.writestr("../two.png", b"two" * 100)
        archive.writestr("__MACOSX/z/._one.png", b"rubbish")
        archive.mkdir("empty")
    source = ZipSource(path=path)
    before = source.fingerprint()
    assert [(item.name, item.content) for item in source.items()] == [
        ("../two.png", b"two" * 100),
        ("z/one.png", b"one"),
    ]
    assert source.count() == 2
    path.write_bytes(path.read_bytes().replace(b"twotwo", b"twoTwo", 1))
    assert [item.problem.reason for item in source.items() if item.problem] == ["unreadable"]
    assert source.fingerprint() != before


def test_what_is_not_a_zip_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"a\.zip cannot be opened as a zip archive"):
        ZipSource(path=tmp_path / "a.zip").fingerprint()


@pytest.mark.parametrize("is_named", [True, False])
def test_torchvision_reads_files_that_are_there_and_joins_their_parts(
    home: Path, tmp_path: Path, is_named: bool
) -> None:
    raw = (tmp_path if is_named else home / "cache" / "torchvision") / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, images in (("train", 3), ("t10k", 2)):
        pixels = bytes(range(images)) * 28 * 28
        (raw / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, images, 28, 28) + pixels)
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, images) + bytes(images))
    items = list(TorchvisionSource(name="MNIST", root=tmp_path if is_named else None).items())
    assert [item.name for item in items] == [
        "train/000000",
        "train/000001",
        "train/000002",
        "test/000000",
        "test/000001",
    ]
    assert all(item.content.startswith(b"\x89PNG") for item in items)


def test_a_torchvision_set_that_cannot_be_had_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "flowers-102").write_bytes(b"a file where torchvision wants a folder")
    with pytest.raises(ValueError, match=r"Flowers102 is not complete in .* put its files there"):
        list(TorchvisionSource(name="Flowers102", root=tmp_path).items())
