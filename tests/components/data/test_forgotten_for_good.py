"""Of what has to be deleted nothing is left, wherever the deletion was cut off, and until then no proof is given."""

from pathlib import Path

import pytest

from components.artifacts import Store
from components.artifacts.folder import FolderStorage
from components.artifacts.store import SharedStore
from components.data import DatasetConfig, ShapesSource, ShardReader, ShardSet, write_shards
from components.data.forgetting import delete, forbid, holding, remains


class Killed(BaseException):
    """As a kill: nothing in the program expects it."""


@pytest.fixture
def store(tmp_path: Path) -> SharedStore:
    """A store that is shared, as a bucket is, each artifact of it through a copy."""
    return SharedStore(FolderStorage(tmp_path / "remote"), tmp_path / "cache")


@pytest.fixture
def forbidden(store: SharedStore) -> ShardSet:
    """A data version that holds an image that is forgotten."""
    shards = write_shards(DatasetConfig(source=ShapesSource(images=30, raster_px=16), size=16), store)
    forbid(holding([ShardReader(shards, "train").keys[0]], store), store, "asked for")
    return shards


@pytest.mark.parametrize("deletions", range(1, 6))
def test_a_shared_version_that_was_deleted_half_is_said_to_be_left_and_deleted_by_the_next_call(
    store: SharedStore, forbidden: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deletions: int
) -> None:
    with monkeypatch.context() as patch:
        _die_after(deletions, store, patch)
        with pytest.raises(Killed):
            delete(store, tmp_path / "cache")
    assert not list(store.digests(ShardSet.folder()))  # the manifest goes first
    assert any(f"shardset/{forbidden.digest}/" in words for words in remains(store))
    delete(store, tmp_path / "cache")
    assert not list(remains(store))
    assert not list((tmp_path / "remote").rglob("*.tar"))
    assert not list((tmp_path / "cache").rglob("*.tar"))


def _die_after(deletions: int, store: SharedStore, patch: pytest.MonkeyPatch) -> None:
    done, really = 0, store.remote.delete

    def deleted(key: str) -> None:
        nonlocal done
        really(key)
        done += 1
        if done == deletions:
            raise Killed

    patch.setattr(store.remote, "delete", deleted)


def test_a_local_version_that_was_deleted_half_is_deleted_by_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    shards = write_shards(DatasetConfig(source=ShapesSource(images=30, raster_px=16), size=16), store)
    forbid(holding([ShardReader(shards, "train").keys[0]], store), store, "asked for")
    with monkeypatch.context() as patch:
        patch.setattr("components.artifacts.files.shutil.rmtree", _killed)
        with pytest.raises(Killed):
            delete(store, tmp_path / "cache")
    assert list(store.root.rglob("*.tar"))
    assert list(remains(store))
    delete(store, tmp_path / "cache")
    assert not list(remains(store))
    assert not list(store.root.rglob("*.tar"))


def _killed(path: Path) -> None:
    raise Killed(path)
