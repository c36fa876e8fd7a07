"""A version in a shared store brings along the versions that hold tars of it, on whatever machine it is asked for."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from components.artifacts import ArtifactError, SharedStore
from components.artifacts.audit import audit, audit_all
from components.artifacts.folder import FolderStorage
from components.data import DatasetConfig, FolderSource, ShapesSource, ShardReader, ShardSet, write_shards

LONG_AGO_S = 1_000_000_000


def quiet(_name: str, _done: int, _total: int | None) -> None:
    """Show no progress."""


@pytest.fixture
def grown(tmp_path: Path) -> tuple[ShardSet, ShardSet]:
    """Two versions of a folder in the shared store, the second of which points to tars of the first."""
    pile = tmp_path / "pile"
    pile.mkdir()
    pictures = list(ShapesSource(images=34, raster_px=16).items())
    store = store_of(tmp_path, "here")
    found = []
    for few in (pictures[:30], pictures[30:]):
        for item in few:
            (pile / item.name).write_bytes(item.content)
            os.utime(pile / item.name, (LONG_AGO_S, LONG_AGO_S))
        found.append(write_shards(dataset(tmp_path), store))
    return found[0], found[1]


def dataset(tmp_path: Path) -> DatasetConfig:
    return DatasetConfig(source=FolderSource(path=tmp_path / "pile"), size=16, shard_bytes="16KiB")


def store_of(tmp_path: Path, machine: str) -> SharedStore:
    return SharedStore(FolderStorage(tmp_path / "remote"), tmp_path / machine)


def test_another_machine_reads_the_same_images(grown: tuple[ShardSet, ShardSet], tmp_path: Path) -> None:
    first, second = grown
    assert second.holders == (first.digest,)
    there = store_of(tmp_path, "there")
    fetched = there.get(ShardSet, second.digest)
    assert {path.name for path in (tmp_path / "there" / "shardset").iterdir()} == {first.digest, second.digest}
    for split in second.splits:
        here, elsewhere = ShardReader(second, split), ShardReader(fetched, split)
        assert np.array_equal(here.images(range(len(here))), elsewhere.images(range(len(here))))
    fetched.verify()
    shutil.rmtree(tmp_path / "there" / "shardset" / first.digest)
    there.get(ShardSet, second.digest).verify()


def test_another_machine_goes_on_growing_it(grown: tuple[ShardSet, ShardSet], tmp_path: Path) -> None:
    (tmp_path / "pile" / "shape-000003.png").unlink()
    third = write_shards(dataset(tmp_path), store_of(tmp_path, "there"))
    assert third.growth is not None
    assert (third.growth.base, third.growth.read, third.growth.kept) == (grown[1].digest, 0, 33)


def test_a_holder_that_is_gone_is_named(grown: tuple[ShardSet, ShardSet], tmp_path: Path) -> None:
    first, second = grown
    (tmp_path / "remote" / "shardset" / first.digest / "manifest.json").unlink()
    there = store_of(tmp_path, "there")
    with pytest.raises(ArtifactError, match=f"{second.digest} needs files of {first.digest}, which is not there"):
        there.get(ShardSet, second.digest)
    assert list(audit(there, "shardset", second.digest, deep=True, progress=quiet))
    (told,) = audit_all(there, deep=True, progress=quiet)
    assert told == (
        f"shardset/{second.digest}",
        f"files of it are to lie in shardset/{first.digest}, which is not there",
    )
    (tmp_path / "pile" / "shape-000003.png").unlink()
    third = write_shards(dataset(tmp_path), there)
    assert third.growth is not None
    assert third.growth.base is None
