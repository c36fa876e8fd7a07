"""Classes travel from the source's folders to the batches, and change nothing where none are asked for."""

import json
import zipfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import webdataset as wds

from components.artifacts import Store
from components.data import (
    DatasetConfig,
    Loader,
    Samples,
    ShapesSource,
    ShardReader,
    ShardSet,
    Share,
    SourceConfig,
    write_shards,
)
from components.data.sources import FolderSource, OpenMojiSource, TorchvisionSource, ZipSource
from components.data.sources.torchvision_set import _class
from components.section import kinds
from tests.examples import example

CLASSES = {"cat": 18, "dog": 9, "emu": 3}


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """A folder per class, and one file beside them."""
    root = tmp_path / "zoo"
    items = ShapesSource(images=sum(CLASSES.values()) + 1, raster_px=16).items()
    for name, count in CLASSES.items():
        (root / name / "deeper").mkdir(parents=True)
        for number in range(count):
            (root / name / "deeper" / f"{number}.png").write_bytes(next(items).content)
    (root / "stray.png").write_bytes(next(items).content)
    return root


def zipped(zoo: Path, within: str = "") -> Path:
    path = zoo.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(zoo.rglob("*.png")):
            archive.write(file, within / file.relative_to(zoo))
    return path


def write(source: SourceConfig, store: Path) -> ShardSet:
    return write_shards(DatasetConfig(source=source, size=16, rejected_limit_fraction=0.1), Store(store))


@pytest.fixture
def shards(zoo: Path, tmp_path: Path) -> ShardSet:
    return write(FolderSource(path=zoo, labels=True), tmp_path / "store")


def test_the_manifest_counts_each_class_in_each_split_and_refuses_what_has_none(shards: ShardSet) -> None:
    counts = [facts.classes for facts in shards.splits.values()]
    assert all(list(split) == list(CLASSES) for split in counts)
    assert {name: sum(split[name] for split in counts) for name in CLASSES} == CLASSES
    assert shards.rejected == {"no_class": 1}
    assert ShardSet.read(shards.path) == shards


def test_each_image_has_its_class_beside_it_in_the_tar_and_in_the_order_of_the_index(shards: ShardSet) -> None:
    for split, facts in shards.splits.items():
        reader = ShardReader(shards, split)
        named = {}
        for tar in facts.shards:
            for sample in wds.WebDataset(str(shards.path / tar.name), shardshuffle=False):
                folder = json.loads(sample["json"])["name"].split("/")[0]
                named[sample["__key__"]] = list(CLASSES).index(folder)
                assert int(sample["cls"]) == named[sample["__key__"]]
        assert reader.labels.tolist() == [named[key] for key in reader.keys]


def test_a_zip_of_the_same_folders_gives_the_same_shards(shards: ShardSet, zoo: Path, tmp_path: Path) -> None:
    other = write(ZipSource(path=zipped(zoo), labels=True), tmp_path / "store")
    assert other.splits == shards.splits


def test_folders_that_all_files_of_a_zip_share_are_no_classes(shards: ShardSet, zoo: Path, tmp_path: Path) -> None:
    other = write(ZipSource(path=zipped(zoo, "sets/zoo"), labels=True), tmp_path / "other")
    assert {split: facts.classes for split, facts in other.splits.items()} == {
        split: facts.classes for split, facts in shards.splits.items()
    }
    assert other.rejected == {"no_class": 1}


def test_only_files_that_are_taken_from_a_zip_decide_what_they_share(tmp_path: Path) -> None:
    path = tmp_path / "zoo.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("LICENCE", "__MACOSX/._zoo", "zoo/cat/1.png", "zoo/catfish/1.png", "zoo/cat/old/1.png"):
            archive.writestr(name, b"")

    def labels(*patterns: str) -> list[str | None]:
        return [item.label for item in ZipSource(path=path, labels=True, patterns=patterns).items()]

    assert labels("*.png") == ["cat", "cat", "catfish"]
    assert labels("*") == [None, "zoo", "zoo", "zoo"]


def test_without_classes_shards_are_those_of_before(zoo: Path, tmp_path: Path) -> None:
    plain = write(FolderSource(path=zoo), tmp_path / "store")
    assert plain.accepted == sum(CLASSES.values()) + 1
    assert all(facts.classes == {} for facts in plain.splits.values())
    assert ShardReader(plain, "train").labels is None
    assert not list(plain.path.glob("*.labels.npy"))


@pytest.mark.parametrize("plain", [ZipSource(path=Path("zoo.zip")), TorchvisionSource(name="CIFAR10")])
def test_the_fingerprint_says_whether_there_are_classes_and_is_the_old_one_without(plain, zoo: Path) -> None:
    if isinstance(plain, ZipSource):
        plain = plain.model_copy(update={"path": zipped(zoo)})
    labelled = plain.model_copy(update={"labels": True})
    assert (plain.has_classes, labelled.has_classes) == (False, True)
    assert plain.fingerprint() != labelled.fingerprint()
    assert TorchvisionSource(name="CIFAR10").fingerprint() == "8b89640c5a7f9b31f11b"


def test_one_class_is_refused_in_words(zoo: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="all 30 images are of the class 'zoo', expected two classes or more"):
        write(FolderSource(path=zoo.parent, patterns=("[0-9]*.png",), labels=True), tmp_path / "store")


def test_a_batch_holds_the_classes_of_its_images_for_any_number_of_processes(shards: ShardSet) -> None:
    reader = ShardReader(shards, "train")
    pixels = reader.images(np.arange(len(reader)))
    numbers = {image.tobytes(): label for image, label in zip(pixels, reader.labels, strict=True)}

    def batch(rank: int, processes: int):
        loader = Loader(Samples(pixels, reader.keys, "d", reader.labels), Share(8, rank, processes), seed=1)
        with closing(loader.batches(0)) as batches:
            return next(batches)

    whole, parts = batch(0, 1), [batch(rank, 2) for rank in range(2)]
    images = (whole.images.permute(0, 2, 3, 1).add(1) * 127.5).round().byte().numpy()
    assert whole.labels.tolist() == [numbers[image.tobytes()] for image in images]
    assert whole.labels.tolist() == [label for part in parts for label in part.to("cpu").labels.tolist()]


def test_torchvisions_classes_have_its_names_or_numbers_and_unlabelled_images_have_none() -> None:
    assert [_class(1, ["bee", "cow"]), _class(7, None), _class(-1, ["bee"])] == ["cow", "007", None]


def test_only_sources_that_know_classes_can_be_asked_for_them() -> None:
    sources = {member: example(member) for member in kinds(SourceConfig)}
    knowing = {member for member in sources if "labels" in member.model_fields}
    assert knowing >= {FolderSource, ShapesSource, TorchvisionSource, ZipSource}
    assert OpenMojiSource not in knowing
    for member, source in sources.items():
        assert not source.has_classes
        assert source.model_copy(update={"labels": True}).has_classes == (member in knowing)
