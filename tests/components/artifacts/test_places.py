"""What may stand as a store's address: a misspelt one is refused in words, before a folder of its name is made."""

from pathlib import Path

import pytest
import yaml

from components.artifacts import Store
from components.artifacts.places import bucket_and_prefix
from components.artifacts.storage import FolderStorage, checked_place, open_storage
from components.config import ConfigError, load
from components.workspace import Workspace

WRONG = [
    "gs://bucket/p",
    "s3:/bucket/p",
    "s3:bucket",
    "S3://bucket/p",
    "s3://",
    "s3:///p",
    "s3://key:secret@bucket/p",
    "s3://bucket:9000/p",
    "s3://bucket/a?b",
    "s3://bucket/a#b",
    "s3://bucket/../other",
    "file:///tmp/x",
    "http://host/p",
    "",
    " ",
    "~nobody-of-this-name/store",
]


@pytest.mark.parametrize("place", WRONG)
def test_what_is_neither_folder_nor_bucket_is_refused_and_nothing_is_made(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for call in (checked_place, open_storage, lambda text: Store.open(text, tmp_path / "cache")):
        with pytest.raises(ValueError, match=r"expected a (folder or s3://bucket/prefix|relative path)|home") as caught:
            call(place)
        assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["store", "./s3:/x", "/tmp/a b%20?", "~/store", "../other"])
def test_folders_are_taken(place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert checked_place(place) == place
    storage = open_storage(place)
    assert isinstance(storage, FolderStorage)
    assert storage.root == Path(place.replace("~", str(tmp_path)))


def test_buckets_are_taken() -> None:
    assert bucket_and_prefix("s3://bucket/a/b/") == ("bucket", "a/b")
    assert bucket_and_prefix("s3://bucket") == ("bucket", "")


def test_a_configuration_with_a_wrong_store_is_refused_when_it_is_checked(root: Path, tmp_path: Path) -> None:
    content = yaml.safe_load((root / "configs" / "folder.yaml").read_text())
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(content | {"store": "s3:/bucket/p"}))
    with pytest.raises(ConfigError, match=r"store: s3:/bucket/p: expected a folder or s3://bucket/prefix"):
        load(path)


def test_a_home_may_begin_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KINTSUGI_HOME", "~/ks")
    assert Workspace.from_environment().home == tmp_path / "ks"
    monkeypatch.setenv("KINTSUGI_HOME", "~nobody-of-this-name/ks")
    with pytest.raises(ValueError, match="KINTSUGI_HOME is '~nobody-of-this-name/ks'"):
        Workspace.from_environment()
    assert not list(tmp_path.iterdir())
