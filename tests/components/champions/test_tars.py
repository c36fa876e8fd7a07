"""Tars of made pictures: continued, extended, equal to the byte, readable by webdataset and as a source."""

import json

import numpy as np
import pytest
import webdataset

from components.artifacts import Store
from components.champions.files import UnwritableError
from components.champions.making import Draw
from components.champions.tars import make_tars
from components.data import DatasetConfig, write_shards
from components.data.sources import WebdatasetSource
from components.pictures.provenance import Maker, provenance_of

CLASSES = ("cat", "dog")


class Painter:
    """A maker of pictures that follow from seed, class and number; it counts them, and can be stopped."""

    classes = CLASSES

    def __init__(self, most: int = 10**9) -> None:
        self.made, self.most = 0, most

    def generate(self, samples: int, seed: int, first: int = 0) -> np.ndarray:
        return self.generate_class("cat", samples, seed, first)

    def generate_class(self, name: str, samples: int, seed: int, first: int = 0) -> np.ndarray:
        self.made += samples
        if self.made > self.most:
            raise KeyboardInterrupt
        rngs = (
            np.random.default_rng((abs(seed), CLASSES.index(name), number)) for number in range(first, first + samples)
        )
        return np.stack([rng.integers(0, 256, (16, 16, 3), np.uint8) for rng in rngs])


def draw(painter=None, version=1, seed=3, of=None, *, mark=True):
    return Draw(painter or Painter(), Maker("zoo-gan", version, "e1") if mark else None, seed, of)


def make(folder, drawn, count=200, per_tar=80, told=lambda done, total: None):
    folder.mkdir(exist_ok=True)
    return make_tars(drawn, count, per_tar, folder, told)


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_stopped_command_goes_on_and_ends_in_the_bytes_of_an_undisturbed_one(tmp_path):
    make(tmp_path / "undisturbed", draw())
    for most in (10, 70, 100, 70, 110):
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path / "stopped", draw(Painter(most)))
    made = make(tmp_path / "stopped", draw())
    assert (made.there, made.fresh) == (160, 40)
    assert content(tmp_path / "stopped") == content(tmp_path / "undisturbed")
    assert list(content(tmp_path / "stopped")) == [f"3-{number:06d}.tar" for number in range(3)]
    again = Painter()
    assert (make(tmp_path / "stopped", draw(again)).there, again.made) == (200, 0)


def test_what_a_killed_writer_left_goes_when_its_tar_is_made(tmp_path):
    (tmp_path / ".3-000000.tar.12345678.part").write_bytes(b"half")
    make(tmp_path, draw(), count=5)
    assert list(content(tmp_path)) == ["3-000000.tar"]


def test_more_pictures_keep_the_whole_tars_and_another_version_makes_all_anew(tmp_path):
    make(tmp_path, draw(), count=100)
    assert (made := make(tmp_path, draw())).there == 80, made
    assert make(tmp_path, draw(version=2)).there == 0
    assert make(tmp_path, draw(version=2, of="dog")).there == 0
    assert make(tmp_path, draw(version=2, of="dog")).there == 200
    (tmp_path / "3-000001.tar").write_bytes((tmp_path / "3-000001.tar").read_bytes()[:30_000])
    assert make(tmp_path, draw(version=2, of="dog")).there == 120
    assert make(tmp_path, draw(mark=False)).there == 0
    assert make(tmp_path, draw(mark=False)).there == 0


def test_each_picture_says_where_it_comes_from_but_not_when(tmp_path):
    make(tmp_path, draw(of="dog"), count=3)
    samples = list(webdataset.WebDataset(str(tmp_path / "3-000000.tar"), shardshuffle=False).decode("pil"))
    assert [sample["__key__"] for sample in samples] == ["3-00000000", "3-00000001", "3-00000002"]
    assert {sample["cls"] for sample in samples} == {1}
    told = provenance_of(samples[2]["png"])
    assert (told.number, told.of, told.seed, told.made) == (2, "dog", 3, None)
    assert samples[2]["json"] == json.loads(told.text)
    assert np.array_equal(samples[2]["png"], Painter().generate_class("dog", 3, 3)[2])


def test_progress_is_told_picture_by_picture(tmp_path):
    told = []
    make(tmp_path, draw(), count=70, per_tar=50, told=lambda done, total: told.append((done, total)))
    assert (told[0], told[-1], len(set(told))) == ((1, 70), (70, 70), 70)


def test_a_folder_that_takes_nothing_ends_it_in_words(tmp_path):
    (tmp_path / "3-000000.tar").mkdir()
    with pytest.raises(UnwritableError, match=r"3-000000\.tar: cannot be written \(Is a directory\)"):
        make(tmp_path, draw(), count=5)
    assert [path.name for path in tmp_path.iterdir()] == ["3-000000.tar"]


def test_the_tars_are_a_source_to_train_on_with_their_classes(tmp_path):
    for seed, name in enumerate(CLASSES):
        make(tmp_path / "tars", draw(seed=seed, of=name), count=30, per_tar=20)
    source = WebdatasetSource(path=tmp_path / "tars", labels=True)
    assert source.count() == 60
    shards = write_shards(DatasetConfig(source=source, size=16), Store(tmp_path / "store"))
    assert (shards.accepted, shards.rejected, set(shards.splits["train"].classes)) == (60, {}, {"0", "1"})
    item = next(iter(source.items()))
    assert (item.name, item.label) == ("0-000000.tar/0-00000000.png", "0")
