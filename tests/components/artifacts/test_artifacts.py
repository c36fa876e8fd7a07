"""An artifact is reused or written once, is whole or not there, and is what its manifest says."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.artifacts import MANIFEST, Artifact, ArtifactError, SharedStore, Store
from components.artifacts.storage import FolderStorage
from components.section import Section

WRITER = """
import sys, time
from pathlib import Path
from components.artifacts import Artifact, Store

class Drawing(Artifact):
    colours: int

def write(folder):
    (folder / "a.txt").write_text("a")
    Path(sys.argv[2]).touch()
    while not Path(sys.argv[3]).exists():
        time.sleep(0.01)
    (folder / "b.txt").write_text("b")
    return {"colours": 3}

print(Store(Path(sys.argv[1])).materialise(Drawing, {"seed": 1}, write).digest)
"""


class Drawing(Artifact):
    colours: int


class Painting(Artifact):
    colours: int


class Brush(Section):
    width_px: int = 3


def draw(folder: Path) -> dict[str, int]:
    (folder / "a.txt").write_text("a")
    (folder / "sub").mkdir()
    (folder / "sub" / "b.bin").write_bytes(bytes(1000))
    return {"colours": 3}


def never(folder: Path) -> dict[str, int]:
    raise AssertionError("written though the store has it")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def writer(store: Store, begun: Path, go_on: Path) -> subprocess.Popen:
    command = [sys.executable, "-c", WRITER, str(store.root), str(begun), str(go_on)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_artifact_is_written_once_and_then_reused(store):
    first = store.materialise(Drawing, {"seed": 1}, draw)
    assert store.materialise(Drawing, {"seed": 1}, never) == first
    assert first.colours == 3
    assert (first.path / "a.txt").read_text() == "a"
    assert first.path == store.root / "drawing" / first.digest


def test_what_determines_an_artifact_names_it(store):
    alike = [
        {"seed": 1, "brush": Brush()},
        {"brush": Brush(width_px=3), "seed": 1},
        {"seed": 1, "brush": {"width_px": 3}},
    ]
    assert len({store.path_of(Drawing, inputs) for inputs in alike}) == 1
    other = [(Drawing, {"seed": 2, "brush": Brush()}), (Drawing, {"seed": 1}), (Painting, alike[0])]
    assert (
        len({store.path_of(kind, inputs).name for kind, inputs in other} | {store.path_of(Drawing, alike[0]).name}) == 4
    )


def test_a_deleted_artifact_is_written_again_with_the_same_digest(store):
    first = store.materialise(Drawing, {"seed": 1}, draw)
    shutil.rmtree(first.path)
    assert store.find(Drawing, {"seed": 1}) is None
    assert store.materialise(Drawing, {"seed": 1}, draw) == first


def test_a_store_can_be_moved(store, tmp_path):
    first = store.materialise(Drawing, {"seed": 1}, draw)
    store.root.rename(tmp_path / "elsewhere")
    moved = Store(tmp_path / "elsewhere").find(Drawing, {"seed": 1})
    assert moved is not None
    assert (moved.digest, moved.path.is_relative_to(tmp_path / "elsewhere")) == (first.digest, True)
    assert str(tmp_path) not in (moved.path / MANIFEST).read_text()


def test_a_failed_write_leaves_nothing(store):
    def fail(folder: Path) -> dict[str, int]:
        draw(folder)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        store.materialise(Drawing, {"seed": 1}, fail)
    assert [path for path in store.root.rglob("*") if path.is_file()] == []
    assert store.find(Drawing, {"seed": 1}) is None


def test_values_of_the_wrong_kind_leave_nothing(store):
    with pytest.raises(ValueError, match="colours"):
        store.materialise(Drawing, {"seed": 1}, lambda folder: {"colours": "many"})
    assert store.find(Drawing, {"seed": 1}) is None


def test_a_killed_writer_leaves_nothing_that_looks_finished(store, tmp_path):
    process = writer(store, tmp_path / "begun", tmp_path / "never")
    wait_for(tmp_path / "begun")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert store.find(Drawing, {"seed": 1}) is None
    assert store.remove_drafts() == 0, "a draft of a moment ago may still have a writer"
    (draft,) = store.root.glob("drawing/.*")
    for path in (draft, *draft.iterdir()):
        os.utime(path, (0, 0))
    assert store.remove_drafts() == 1
    store.materialise(Drawing, {"seed": 1}, draw).verify()
    assert len(list((store.root / "drawing").iterdir())) == 1


def test_two_writers_of_one_digest_do_not_collide(store, tmp_path):
    both = [writer(store, tmp_path / f"begun-{number}", tmp_path / "go-on") for number in range(2)]
    for number in range(2):
        wait_for(tmp_path / f"begun-{number}")
    (tmp_path / "go-on").touch()
    digests = {process.communicate()[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(digests) == 1
    assert [path.name for path in (store.root / "drawing").iterdir()] == [digests.pop().strip()]
    finished = store.find(Drawing, {"seed": 1})
    assert finished is not None
    finished.verify()


def test_what_is_in_the_way_is_named_and_kept(store):
    path = store.path_of(Drawing, {"seed": 1})
    path.mkdir(parents=True)
    (path / "mine.txt").touch()
    with pytest.raises(ArtifactError, match="in the way"):
        store.materialise(Drawing, {"seed": 1}, draw)
    assert (path / "mine.txt").exists()


@pytest.mark.parametrize("at", [0, 4321, 7999])
def test_verify_finds_one_flipped_bit(store, at):
    artifact = store.materialise(Drawing, {"seed": 1}, draw)
    artifact.verify()
    file = artifact.path / "sub" / "b.bin"
    content = bytearray(file.read_bytes())
    content[at // 8] ^= 1 << at % 8
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"sub/b\.bin: its sha256"):
        artifact.verify()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: (path / "a.txt").unlink(), r"a\.txt: missing"),
        (lambda path: (path / "sub" / "c.txt").touch(), r"sub/c\.txt: not in the manifest"),
        (lambda path: (path / "sub" / "b.bin").write_bytes(bytes(999)), r"sub/b\.bin: its sha256"),
    ],
)
def test_verify_finds_a_missing_added_or_shortened_file(store, damage, words):
    artifact = store.materialise(Drawing, {"seed": 1}, draw)
    damage(artifact.path)
    with pytest.raises(ArtifactError, match=words):
        artifact.verify()


def test_a_manifest_of_another_kind_schema_or_language_is_refused(store):
    artifact = store.materialise(Drawing, {"seed": 1}, draw)
    manifest = artifact.path / MANIFEST
    content = json.loads(manifest.read_bytes())
    with pytest.raises(ArtifactError, match="expected a Painting, found a Drawing"):
        Painting.read(artifact.path)
    manifest.write_text(json.dumps({**content, "schema": 99}))
    with pytest.raises(ArtifactError, match="schema 99"):
        Drawing.read(artifact.path)
    manifest.write_text("half a mani")
    with pytest.raises(ArtifactError, match="not a readable manifest"):
        Drawing.read(artifact.path)


def test_an_artifact_is_found_by_the_digest_that_another_names(tmp_path):
    store = Store(tmp_path)
    made = store.materialise(Drawing, {"seed": 1}, draw)
    assert store.by_digest(Drawing, made.digest) == made
    assert store.by_digest(Painting, made.digest) is None
    assert store.by_digest(Drawing, "0" * 20) is None
    with pytest.raises(ValueError, match=r"without '\.\.'"):
        store.by_digest(Drawing, "../../elsewhere")


def test_a_shared_store_fetches_what_is_asked_for_by_digest(tmp_path):
    remote = FolderStorage(tmp_path / "remote")
    here, there = (SharedStore(remote, tmp_path / name) for name in ("here", "there"))
    made = here.materialise(Drawing, {"seed": 1}, draw)
    fetched = there.by_digest(Drawing, made.digest)
    assert (fetched.digest, fetched.path.parents[1]) == (made.digest, tmp_path / "there")
    fetched.verify()
    assert there.by_digest(Drawing, "0" * 20) is None
