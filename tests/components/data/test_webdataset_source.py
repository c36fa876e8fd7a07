"""WebDataset tars as a source: every image once, samples' classes, and hostile or torn tars in words."""

import io
import tarfile
from pathlib import Path

import pytest

from components.data.sources import WebdatasetSource
from components.data.sources.item import MAX_FILE_BYTES


def tar(path: Path, *members: tuple[str, bytes] | tarfile.TarInfo) -> Path:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            entry = tarfile.TarInfo(member[0])
            entry.size = len(member[1])
            archive.addfile(entry, io.BytesIO(member[1]))
    return path


def special(name: str, sort: bytes, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = sort, target
    return entry


def test_tars_of_a_folder_are_read_in_order_and_only_their_images(tmp_path: Path) -> None:
    tar(tmp_path / "b.tar", ("x/2.png", b"two"), ("x/2.json", b"{}"))
    tar(tmp_path / "a.tar", ("1.JPG", b"one"), ("1.txt", b"words"), ("._1.png", b"junk"), ("__MACOSX/1.png", b"junk"))
    tar(tmp_path / ".a.tar.part.tar", ("0.png", b"draft"))
    source = WebdatasetSource(path=tmp_path)
    assert [(item.name, item.content) for item in source.items()] == [
        ("a.tar/1.JPG", b"one"),
        ("b.tar/x/2.png", b"two"),
    ]
    assert source.count() == 2
    assert [item.name for item in WebdatasetSource(path=tmp_path / "b.tar").items()] == ["b.tar/x/2.png"]


def test_the_class_of_a_sample_stands_beside_its_image_in_any_order(tmp_path: Path) -> None:
    path = tar(
        tmp_path / "a.tar", ("1.cls", b"cat\n"), ("1.png", b"1"), ("2.png", b"2"), ("2.cls", b"7"), ("3.png", b"3")
    )
    items = list(WebdatasetSource(path=path, labels=True).items())
    assert [item.label for item in items] == ["cat", "7", None]
    assert (items[2].problem.reason, items[2].content) == ("no_class", b"")
    assert [item.label for item in WebdatasetSource(path=path).items()] == [None] * 3


def test_the_fingerprint_changes_with_bytes_names_and_options(tmp_path: Path) -> None:
    first = WebdatasetSource(path=tar(tmp_path / "a" / "a.tar", ("1.png", b"1")).parent)
    assert (
        first.fingerprint()
        == WebdatasetSource(path=tar(tmp_path / "b" / "a.tar", ("1.png", b"1")).parent).fingerprint()
    )
    others = [
        WebdatasetSource(path=tar(tmp_path / "c" / "a.tar", ("1.png", b"2")).parent),
        WebdatasetSource(path=tar(tmp_path / "d" / "b.tar", ("1.png", b"1")).parent),
        first.model_copy(update={"labels": True}),
        first.model_copy(update={"patterns": ("*",)}),
    ]
    assert len({one.fingerprint() for one in (first, *others)}) == 5
    assert first.signature() != others[0].signature()


def test_links_devices_and_files_too_large_are_refused_one_by_one(tmp_path: Path) -> None:
    huge = tarfile.TarInfo("4.png")
    huge.size = MAX_FILE_BYTES + 1
    members = (
        special("1.png", tarfile.SYMTYPE, "/etc/passwd"),
        special("2.png", tarfile.FIFOTYPE),
        ("3.png", b"3"),
        huge,
    )
    path = tar(tmp_path / "a.tar", *members)
    with path.open("ab") as file:
        file.truncate(path.stat().st_size + huge.size)
    reasons = [item.problem and item.problem.reason for item in WebdatasetSource(path=path).items()]
    assert reasons[:4] == ["not_regular", "not_regular", None, "too_large"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda path: path.write_bytes(path.read_bytes()[:700]),
            "cannot be read as a tar that is not packed: unexpected",
        ),
        (lambda path: path.write_bytes(b"no tar at all" * 100), "cannot be read as a tar that is not packed"),
        (lambda path: path.unlink(), "there is no .tar in the folder"),
    ],
)
def test_what_is_no_whole_tar_is_said(spoil, words, tmp_path: Path) -> None:
    spoil(tar(tmp_path / "a.tar", ("1.png", bytes(2000))))
    with pytest.raises(ValueError, match=words):
        list(WebdatasetSource(path=tmp_path).items())
    with pytest.raises(ValueError, match="is not there"):
        WebdatasetSource(path=tmp_path / "none").count()


def test_a_path_is_the_same_however_it_is_written(tmp_path: Path) -> None:
    ways = (tmp_path, str(tmp_path), f"{tmp_path}/", f"{tmp_path}//.")
    assert {WebdatasetSource(path=way).model_dump(mode="json")["path"] for way in ways} == {str(tmp_path)}
    assert WebdatasetSource(path="s3://bucket/tars").path == "s3://bucket/tars"
    with pytest.raises(ValueError, match="expected a folder or s3://bucket/prefix"):
        WebdatasetSource(path="S3://bucket/tars")
