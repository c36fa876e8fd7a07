"""Shards depend on the images alone, lose none, and are readable by WebDataset."""

import io
import json
import random
from pathlib import Path

import numpy as np
import pytest
import webdataset as wds
from PIL import Image
from pydantic import ValidationError

from components.artifacts import ArtifactError, Store
from components.data import DatasetConfig, ShardReader, ShardSet, plan_shards, write_shards
from components.data.preparation import key_of
from components.data.sources import FolderSource, ShapesSource
from components.data.tars import members
from components.executors import LocalExecutor


def shapes(images: int = 40, **options: object) -> DatasetConfig:
    return DatasetConfig(source=ShapesSource(images=images, raster_px=16), size=16, **options)


def folder(path: Path, **options: object) -> DatasetConfig:
    return DatasetConfig(source=FolderSource(path=path), size=16, **options)


def fill(path: Path, names: list[str], first: int = 0) -> None:
    path.mkdir(exist_ok=True)
    for item, name in zip(
        ShapesSource(images=first + len(names), raster_px=16).items(), [""] * first + names, strict=True
    ):
        if name:
            (path / name).write_bytes(item.content)


def files(shards: ShardSet) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in shards.path.iterdir() if path.name != "manifest.json"}


def test_files_are_the_same_bytes_for_any_number_of_workers_and_any_store(tmp_path: Path) -> None:
    one = write_shards(shapes(), Store(tmp_path / "one"), executor=LocalExecutor(workers=1))
    two = write_shards(shapes(), Store(tmp_path / "two"), executor=LocalExecutor(workers=3))
    assert files(one) == files(two)
    assert one.digest == two.digest
    one.verify()


def test_the_order_and_the_names_of_files_do_not_change_the_images(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(20)]
    fill(tmp_path / "a", names)
    fill(tmp_path / "b", random.Random(1).sample(names, 20))
    (tmp_path / "b" / "extra-copy.png").write_bytes((tmp_path / "b" / "3.png").read_bytes())
    one, two = (write_shards(folder(tmp_path / place), Store(tmp_path / "store")) for place in "ab")
    assert (two.accepted, two.duplicates) == (20, 1)
    for split in one.splits:
        a, b = ShardReader(one, split), ShardReader(two, split)
        assert a.keys == b.keys == sorted(a.keys)
        assert np.array_equal(a.images(range(len(a))), b.images(range(len(b))))


def test_of_duplicates_the_first_name_is_kept_whatever_came_first(tmp_path: Path) -> None:
    fill(tmp_path / "a", ["z.png"])
    (tmp_path / "a" / "sub").mkdir()
    with Image.open(tmp_path / "a" / "z.png") as image:
        image.save(tmp_path / "a" / "sub" / "b.bmp")
    shards = write_shards(folder(tmp_path / "a"), Store(tmp_path / "store"))
    assert (shards.found, shards.accepted, shards.duplicates) == (2, 1, 1)
    (sample,) = (s for split in shards.splits.values() for t in split.shards for s in _samples(shards.path / t.name))
    assert json.loads(sample["json"]) == {"name": "sub/b.bmp", "format": "BMP", "size": [16, 16]}


def _samples(path: Path) -> list[dict]:
    return list(wds.WebDataset(str(path), shardshuffle=False))


@pytest.mark.parametrize(("kind", "suffix"), [("png", "png"), ("jpeg", "jpg"), ("webp", "webp")])
def test_plain_webdataset_reads_every_image_once(tmp_path: Path, kind: str, suffix: str) -> None:
    shards = write_shards(shapes(encoding={"kind": kind}), Store(tmp_path))
    seen = {}
    for split, facts in shards.splits.items():
        for shard in facts.shards:
            found = _samples(shards.path / shard.name)
            assert len(found) == shard.samples
            for sample in found:
                seen[sample["__key__"]] = split
                assert set(json.loads(sample["json"])) == {"name", "format", "size"}
                image = Image.open(io.BytesIO(sample[suffix]))
                assert image.size == (16, 16)
                assert kind != "png" or key_of(image) == sample["__key__"]
    assert len(seen) == shards.accepted == 40


def test_shards_roll_at_their_size_and_say_what_they_hold(tmp_path: Path) -> None:
    shards = write_shards(shapes(60, shard_bytes="20KiB"), Store(tmp_path))
    train = shards.splits["train"]
    assert len(train.shards) > 3
    assert [shard.name for shard in train.shards[:2]] == ["train-000000.tar", "train-000001.tar"]
    for shard in train.shards:
        assert shard.bytes == (shards.path / shard.name).stat().st_size <= 20 * 1024
    assert sum(shard.samples for shard in train.shards) == train.samples == len(ShardReader(shards, "train"))


def test_tar_members_are_owned_by_nobody_in_particular(tmp_path: Path) -> None:
    shards = write_shards(shapes(8), Store(tmp_path))
    header = (shards.path / "train-000000.tar").read_bytes()[:512]
    assert header[136:148] == b"00000000000\0"
    assert header[265:273] == b"kintsugi"


def test_the_index_points_at_the_image_bytes(tmp_path: Path) -> None:
    shards = write_shards(shapes(60, shard_bytes="20KiB"), Store(tmp_path))
    index = np.load(shards.path / "train.index.npy", allow_pickle=False)
    tars = [shards.path / shard.name for shard in shards.splits["train"].shards]
    for row in index:
        content = tars[row["shard"]].read_bytes()[row["offset"] : row["offset"] + row["bytes"]]
        assert key_of(Image.open(io.BytesIO(content))).encode() == row["key"]


def test_growing_a_source_moves_no_image_between_splits(tmp_path: Path) -> None:
    few, many = (write_shards(shapes(images), Store(tmp_path)) for images in (40, 80))
    for split in few.splits:
        assert set(ShardReader(few, split).keys) <= set(ShardReader(many, split).keys)


def test_nothing_is_lost_and_every_refusal_is_listed(tmp_path: Path) -> None:
    fill(tmp_path / "a", ["1.png", "2.png", "3.png", "4.png"])
    good = (tmp_path / "a" / "1.png").read_bytes()
    for name, content in {"copy.png": good, "cut.png": good[:-30], "empty.png": b"", "page.jpg": b"<html>"}.items():
        (tmp_path / "a" / name).write_bytes(content)
    shards = write_shards(folder(tmp_path / "a", rejected_limit_fraction=0.5), Store(tmp_path / "store"))
    assert (shards.found, shards.accepted, shards.duplicates) == (8, 4, 1)
    assert shards.rejected == {"empty": 1, "not_an_image": 1, "truncated": 1}
    lines = [json.loads(line) for line in (shards.path / "rejected.jsonl").read_text().splitlines()]
    assert [(line["name"], line["reason"]) for line in lines] == [
        ("cut.png", "truncated"), ("empty.png", "empty"), ("page.jpg", "not_an_image"),
    ]  # fmt: skip


def test_a_manifest_whose_sum_does_not_add_up_is_refused(tmp_path: Path) -> None:
    shards = write_shards(shapes(8), Store(tmp_path))
    with pytest.raises(ValidationError, match="9 files found, but 8 accepted"):
        ShardSet(path=shards.path, **{**shards.model_dump(), "found": 9})


@pytest.mark.parametrize("known", [True, False])
def test_too_many_bad_files_stop_the_run_and_leave_nothing(tmp_path: Path, known: bool, monkeypatch) -> None:
    fill(tmp_path / "a", ["1.png", "2.png"])
    (tmp_path / "a" / "bad.jpg").write_bytes(b"<html>")
    if not known:
        monkeypatch.setattr(FolderSource, "count", lambda self: None)
    with pytest.raises(ValueError, match=r"1 of the 3 files .* 5% .* 1 not_an_image\. The first: bad\.jpg") as caught:
        write_shards(folder(tmp_path / "a"), Store(tmp_path / "store"))
    assert "<html>" in str(caught.value)
    assert list((tmp_path / "store" / "shardset").iterdir()) == []


def test_a_source_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(ValueError, match="folder a: 0 files found, none of them a usable image"):
        write_shards(folder(tmp_path / "a"), Store(tmp_path / "store"))


def test_a_killed_write_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def die(done: int, total: int | None) -> None:
        raise Killed

    store = Store(tmp_path)
    with pytest.raises(Killed):
        write_shards(shapes(), store, progress=die)
    assert plan_shards(shapes(), store) == (None, 40)
    assert write_shards(shapes(), store).accepted == 40


def test_a_second_write_reads_nothing_and_a_plan_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path)
    seen = []
    first = write_shards(shapes(), store, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(32, 40), (40, 40)]
    assert write_shards(shapes(), store, progress=lambda done, total: pytest.fail("read again")) == first
    assert plan_shards(shapes(), store) == (first, 40)
    assert plan_shards(shapes(41), store) == (None, 41)


def test_a_source_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    fill(tmp_path / "a", ["one.png"])
    content = (tmp_path / "a" / "one.png").read_bytes()
    for number in range(200):  # more than are read ahead
        (tmp_path / "a" / f"{number:03d}.png").write_bytes(content)

    def meddle(done: int, total: int | None) -> None:
        (tmp_path / "a" / "one.png").write_bytes(b"other")

    dataset = folder(tmp_path / "a", rejected_limit_fraction=1)
    with pytest.raises(ValueError, match="changed while they were read"):
        write_shards(dataset, Store(tmp_path / "store"), progress=meddle, executor=LocalExecutor(workers=1))


def test_examples_show_up_to_36_pictures(tmp_path: Path) -> None:
    shards = write_shards(shapes(60), Store(tmp_path))
    with Image.open(shards.path / "examples.png") as sheet:
        assert sheet.size == (6 * 18 + 2, 6 * 18 + 2)


def test_a_truncated_shard_is_noticed_on_opening_and_an_altered_one_by_verify(tmp_path: Path) -> None:
    shards = write_shards(shapes(), Store(tmp_path))
    tar = shards.path / "train-000000.tar"
    content = tar.read_bytes()
    tar.write_bytes(content[:-512])
    with pytest.raises(ArtifactError, match=r"train-000000\.tar: \d+ bytes, the manifest says \d+"):
        ShardReader(shards, "train")
    tar.write_bytes(content[:600] + bytes([content[600] ^ 1]) + content[601:])
    assert len(ShardReader(shards, "train"))
    with pytest.raises(ArtifactError, match="sha256"):
        shards.verify()


@pytest.mark.parametrize(("kind", "kept"), [("png", 0), ("jpeg", 0), ("jpeg", 100)])
def test_damaged_image_bytes_are_named(tmp_path: Path, kind: str, kept: int) -> None:
    shards = write_shards(shapes(encoding={"kind": kind}), Store(tmp_path))
    tar = shards.path / "train-000000.tar"
    first = next(m for m in members(tar) if not m.name.endswith(".json"))
    content = bytearray(tar.read_bytes())
    content[first.offset + kept : first.offset + first.bytes] = bytes(first.bytes - kept)
    tar.write_bytes(content)
    with pytest.raises(ArtifactError, match=f"image {first.name[:32]}: .*the shard is damaged"):
        ShardReader(shards, "train").image(0)


def test_jpeg_is_decoded_to_the_pixels_that_pillow_sees(tmp_path: Path) -> None:
    shards = write_shards(shapes(encoding={"kind": "jpeg", "quality": 60}), Store(tmp_path))
    tar = shards.path / "train-000000.tar"
    content = tar.read_bytes()
    stored = [content[m.offset : m.offset + m.bytes] for m in members(tar) if m.name.endswith(".jpg")]
    expected = np.stack([np.asarray(Image.open(io.BytesIO(one)).convert("RGB")) for one in stored])
    assert np.array_equal(ShardReader(shards, "train").images(range(len(expected))), expected)


def test_unknown_splits_are_named(tmp_path: Path) -> None:
    shards = write_shards(shapes(), Store(tmp_path))
    with pytest.raises(ValueError, match="expected one of test, train, validation"):
        ShardReader(shards, "holdout")
