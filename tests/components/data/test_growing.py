"""A grown source gives the version that sharding it at once would give, and only what is new is read and encoded."""

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.artifacts import ArtifactError, Store
from components.data import DatasetConfig, ShardReader, ShardSet, holds_same, write_shards
from components.data.sources import FolderSource, ShapesSource

LONG_AGO_S = 1_000_000_000
PICTURES = [item.content for item in ShapesSource(images=60, raster_px=16).items()]


class Pile:
    """A folder of pictures that a test changes as people do, each change at a time of its own, long ago."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._at_s = LONG_AGO_S
        path.mkdir(parents=True)

    def put(self, name: str, content: bytes) -> None:
        path = self.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        self.touch(name)

    def touch(self, name: str) -> None:
        self._at_s += 1
        os.utime(self.path / name, (self._at_s, self._at_s))

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(self.path)) for path in self.path.rglob("*") if path.is_file())

    def dataset(self, **options: object) -> DatasetConfig:
        given = {"shard_bytes": "16KiB", "rejected_limit_fraction": 1.0, "split": {"validation": 0.2, "test": 0.2}}
        labels = bool(options.pop("labels", False))
        return DatasetConfig(source=FolderSource(path=self.path, labels=labels), size=16, **(given | options))


def seen(shards: ShardSet) -> dict[str, tuple]:
    """Return all that is read through the readers."""
    found = {}
    for split in shards.splits:
        reader = ShardReader(shards, split)
        labels = None if reader.labels is None else reader.labels.tolist()
        pixels = reader.images(np.arange(len(reader))).tobytes()
        found[split] = (reader.keys, labels, pixels, shards.splits[split].samples, shards.splits[split].classes)
    return found


def assert_as_if_at_once(grown: ShardSet, dataset: DatasetConfig, elsewhere: Path) -> None:
    whole = write_shards(dataset, Store(elsewhere))
    assert seen(grown) == seen(whole)
    assert all(holds_same(grown, whole, split) for split in whole.splits)
    assert grown.digest == whole.digest
    own = {"growth", "splits"}
    assert grown.model_dump(exclude=own) == whole.model_dump(exclude=own)
    for name in ("rejected.jsonl", "examples.png"):
        assert (grown.path / name).read_bytes() == (whole.path / name).read_bytes()
    grown.verify()


def grown_folder(tmp_path: Path, first: int = 30) -> Pile:
    pile = Pile(tmp_path / "pile")
    for number in range(first):
        pile.put(f"{number:03d}.png", PICTURES[number])
    return pile


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add", "remove", "change", "rename", "duplicate", "touch", "spoil"]),
        st.integers(0, 59),
        st.sampled_from(["cat", "dog", "emu"]),
    ),
    min_size=1,
    max_size=8,
)


def change(pile: Pile, what: str, number: int, folder: str) -> None:
    names = pile.names()
    chosen = names[number % len(names)]
    target = f"{folder}/{number:03d}.png"
    if what == "add":
        pile.put(target, PICTURES[number])
    elif what == "remove" and len(names) > 4:
        (pile.path / chosen).unlink()
    elif what == "change":
        pile.put(chosen, PICTURES[number])
    elif what == "rename" and not (pile.path / target).exists():
        (pile.path / folder).mkdir(exist_ok=True)
        (pile.path / chosen).rename(pile.path / target)
    elif what == "duplicate":
        pile.put(target, (pile.path / chosen).read_bytes())
    elif what == "touch":
        pile.touch(chosen)
    elif what == "spoil":
        pile.put(target, PICTURES[number][:-20])


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(nights=st.lists(CHANGES, min_size=2, max_size=4), labels=st.booleans())
def test_any_history_gives_what_sharding_at_once_gives(nights: list, labels: bool) -> None:
    with TemporaryDirectory() as folder:
        place = Path(folder)
        pile = Pile(place / "pile")
        for number in range(12):
            pile.put(f"{('cat', 'dog')[number % 2]}/{number:03d}.png", PICTURES[number])
        for night, changes in enumerate(nights):
            for one in changes:
                change(pile, *one)
            dataset = pile.dataset(labels=labels)
            try:
                grown = write_shards(dataset, Store(place / "store"))
            except ValueError as error:
                assert "expected two classes" in str(error) or "none of them" in str(error)  # noqa: PT017
                continue
            assert_as_if_at_once(grown, dataset, place / f"whole-{night}")


def test_only_what_is_new_is_read_and_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pile, store = grown_folder(tmp_path), Store(tmp_path / "store")
    first = write_shards(pile.dataset(), store)
    assert first.growth is not None
    assert (first.growth.base, first.growth.read, first.growth.encoded, first.growth.kept) == (None, 30, 30, 0)
    pile.put("new.png", PICTURES[40])
    (pile.path / "003.png").unlink()
    opened: list[str] = []
    really_open = os.open

    def watched(path: os.PathLike[str] | str, flags: int, *rest: int, **more: int) -> int:
        if str(path).startswith(str(pile.path)):
            opened.append(Path(path).name)
        return really_open(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", watched)
    second = write_shards(pile.dataset(), store)
    monkeypatch.undo()
    assert set(opened) == {"new.png"}
    assert second.growth is not None
    assert second.growth.model_dump() == {"base": first.digest, "read": 1, "encoded": 1, "kept": 29, "gone": 1}
    assert second.holders == (first.digest,)
    assert_as_if_at_once(second, pile.dataset(), tmp_path / "whole")


def test_a_file_with_new_times_and_old_bytes_is_read_and_neither_decoded_nor_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pile, store = grown_folder(tmp_path, 20), Store(tmp_path / "store")
    write_shards(pile.dataset(), store)
    pile.touch("004.png")
    (pile.path / "005.png").rename(pile.path / "renamed.png")
    monkeypatch.setattr("components.data.decoders._Process", lambda *_: pytest.fail("decoded again"))
    second = write_shards(pile.dataset(), store)
    assert second.growth is not None
    assert (second.growth.read, second.growth.encoded, second.growth.kept) == (2, 0, 20)
    monkeypatch.undo()
    assert_as_if_at_once(second, pile.dataset(), tmp_path / "whole")


def test_a_file_that_was_changed_just_now_is_read_again(tmp_path: Path) -> None:
    pile, store = grown_folder(tmp_path, 8), Store(tmp_path / "store")
    (pile.path / "young.png").write_bytes(PICTURES[20])
    first = write_shards(pile.dataset(), store)
    facts = (pile.path / "young.png").stat()
    (pile.path / "young.png").write_bytes(PICTURES[20][:-1] + b"\0")
    os.utime(pile.path / "young.png", ns=(facts.st_atime_ns, facts.st_mtime_ns))
    second = write_shards(pile.dataset(), store)
    assert second.digest != first.digest
    assert second.growth is not None
    assert second.growth.read == 1


def test_removed_images_leave_as_tombstones_and_their_bytes_stay_until_half_of_a_tar_is_gone(tmp_path: Path) -> None:
    pile, store = grown_folder(tmp_path), Store(tmp_path / "store")
    split = {"validation": 0, "test": 0}
    first = write_shards(pile.dataset(shard_bytes="1MiB", split=split), store)
    for number in range(10):
        (pile.path / f"{number:03d}.png").unlink()
    second = write_shards(pile.dataset(shard_bytes="1MiB", split=split), store)
    (tar,) = second.splits["train"].shards
    assert (tar.samples, tar.gone, tar.holder) == (20, 10, first.digest)
    assert not list(second.path.glob("*.tar"))
    for number in range(10, 20):
        (pile.path / f"{number:03d}.png").unlink()
    third = write_shards(pile.dataset(shard_bytes="1MiB", split=split), store)
    (tar,) = third.splits["train"].shards
    assert (tar.samples, tar.gone, tar.holder) == (10, 0, None)
    assert third.growth is not None
    assert (third.growth.encoded, third.growth.read) == (0, 0)
    assert_as_if_at_once(third, pile.dataset(shard_bytes="1MiB", split=split), tmp_path / "whole")


def test_small_tars_are_joined_when_there_would_be_more_than_eight(tmp_path: Path) -> None:
    pile, store = grown_folder(tmp_path, 10), Store(tmp_path / "store")
    options = {"shard_bytes": "1MiB", "split": {"validation": 0, "test": 0}}
    counts = []
    for number in range(10, 22):
        pile.put(f"{number:03d}.png", PICTURES[number])
        grown = write_shards(pile.dataset(**options), store)
        counts.append(len(grown.splits["train"].shards))
    assert counts == [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4]
    assert_as_if_at_once(grown, pile.dataset(**options), tmp_path / "whole")


@pytest.mark.parametrize("damage", ["items.npy", "train.index.npy", "train-000000.tar", "manifest.json"])
def test_a_version_that_is_not_whole_is_not_built_upon(tmp_path: Path, damage: str) -> None:
    pile, store = grown_folder(tmp_path), Store(tmp_path / "store")
    first = write_shards(pile.dataset(), store)
    path = first.path / damage
    path.write_bytes(path.read_bytes()[:-1])
    pile.put("new.png", PICTURES[40])
    second = write_shards(pile.dataset(), store)
    assert second.growth is not None
    assert second.growth.base is None
    assert_as_if_at_once(second, pile.dataset(), tmp_path / "whole")


def test_images_are_not_copied_from_an_altered_tar(tmp_path: Path) -> None:
    pile, store = grown_folder(tmp_path), Store(tmp_path / "store")
    options = {"shard_bytes": "1MiB", "split": {"validation": 0, "test": 0}}
    first = write_shards(pile.dataset(**options), store)
    tar = first.path / "train-000000.tar"
    content = tar.read_bytes()
    tar.write_bytes(content[:600] + bytes([content[600] ^ 1]) + content[601:])
    for number in range(20):
        (pile.path / f"{number:03d}.png").unlink()
    second = write_shards(pile.dataset(**options), store)
    assert second.growth is not None
    assert second.growth.base is None
    assert_as_if_at_once(second, pile.dataset(**options), tmp_path / "whole")


def test_verify_follows_the_pointers(tmp_path: Path) -> None:
    pile, store = grown_folder(tmp_path), Store(tmp_path / "store")
    first = write_shards(pile.dataset(), store)
    pile.put("new.png", PICTURES[40])
    second = write_shards(pile.dataset(), store)
    tar = first.path / "train-000000.tar"
    content = tar.read_bytes()
    tar.write_bytes(content[:600] + bytes([content[600] ^ 1]) + content[601:])
    with pytest.raises(ArtifactError, match=r"train-000000\.tar: its sha256"):
        second.verify()
    shutil.rmtree(first.path)
    with pytest.raises(ArtifactError, match=r"test-000000\.tar: missing"):
        second.verify()
    with pytest.raises(ArtifactError, match="no bytes, the manifest says"):
        ShardReader(second, "train")


def test_a_new_class_renumbers_the_others_and_the_tars_say_so(tmp_path: Path) -> None:
    pile, store = Pile(tmp_path / "pile"), Store(tmp_path / "store")
    for number in range(20):
        pile.put(f"{('cat', 'emu')[number % 2]}/{number:03d}.png", PICTURES[number])
    write_shards(pile.dataset(labels=True), store)
    pile.put("dog/020.png", PICTURES[20])
    second = write_shards(pile.dataset(labels=True), store)
    assert list(second.splits["train"].classes) == ["cat", "dog", "emu"]
    assert second.growth is not None
    assert (second.growth.read, second.growth.encoded, second.growth.kept) == (1, 1, 20)
    assert_as_if_at_once(second, pile.dataset(labels=True), tmp_path / "whole")
