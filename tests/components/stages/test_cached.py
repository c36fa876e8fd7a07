"""Of a machine's cache what is in use, or was used in these days, stays; a training under way is not touched."""

import os
import threading
import time
from pathlib import Path

import pytest

from components.artifacts import SharedStore, Store
from components.artifacts.collecting import Fate, Retention
from components.artifacts.storage import FolderStorage
from components.evaluation.image_features import ImageFeatures
from components.stages.cached import cached
from components.workspace import Workspace

OLD_S = 60 * 86_400.0
USED, UNUSED = "a" * 20, "b" * 20
AT_ONCE = Retention(keep_days=30, grace_hours=0)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path).create()


def put(path: Path, *, age_s: float = OLD_S) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(100))
    for one in (path, path.parent):
        os.utime(one, (time.time() - age_s, time.time() - age_s))
    return path


def age(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (time.time() - OLD_S, time.time() - OLD_S))


def collected(workspace: Workspace, *, delete: bool = True, **used: str) -> dict[tuple[str, str], Fate]:
    fates = cached(workspace, {USED: "in service", **used}, AT_ONCE, delete=delete)
    return {(fate.what, fate.name): fate for fate in fates}


def test_tars_that_stream_stay_while_they_are_read(workspace):
    unused = put(workspace.cache / "held" / f"{'0' * 64}.tar")
    lately = put(workspace.cache / "held" / f"{'1' * 64}.tar", age_s=10)
    assert collected(workspace)["tar of a data version", unused.name].becomes == "deleted"
    assert (unused.exists(), lately.exists()) == (False, True)


def test_decoded_pixels_stay_while_their_images_are_in_use_or_were_read_lately(workspace):
    used = put(workspace.cache / f"{USED}-train.pixels")
    unused = put(workspace.cache / f"{UNUSED}-train.pixels")
    lately = put(workspace.cache / f"{'c' * 20}-test.pixels", age_s=10)
    looked = collected(workspace, delete=False)
    assert looked["decoded pixels", unused.name].becomes == "unneeded"
    assert unused.exists()
    fates = collected(workspace)
    assert {path.name: path.exists() for path in (used, unused, lately)} == {
        used.name: True,
        unused.name: False,
        lately.name: True,
    }
    assert fates["decoded pixels", used.name].why == "in service"


def test_copies_of_models_stay_while_their_version_is_in_use(workspace):
    kept, gone = (put(workspace.cache / "models" / name / "model" / "weights") for name in ("gan-7", "gan-3"))
    for path in (kept, gone):
        age(path.parents[1])
    collected(workspace, **{"gan-7": "gan 7, champion"})
    assert (kept.exists(), gone.parents[1].exists()) == (True, False)


def test_features_of_images_stay_as_long_as_the_images(workspace):
    store = Store(workspace.cache)
    made = [
        store.materialise(ImageFeatures, {"images": f"{digest}/test"}, lambda draft: {"images": 3})
        for digest in (USED, UNUSED)
    ]
    age(workspace.cache)
    collected(workspace)
    assert [one.path.exists() for one in made] == [True, False]


def test_a_copy_that_the_shared_store_lacks_stays(workspace, tmp_path):
    shared = SharedStore(FolderStorage(tmp_path / "remote"), workspace.cache)
    made = shared.materialise(ImageFeatures, {"images": f"{UNUSED}/test"}, lambda draft: {"images": 3})
    made.path.with_name(f".{made.digest}.unsent").touch()
    age(workspace.cache)
    assert collected(workspace)["cached imagefeatures", made.digest].why == "not sent to the store yet"
    made.path.with_name(f".{made.digest}.unsent").unlink()
    assert collected(workspace)["cached imagefeatures", made.digest].becomes == "deleted"


def test_trainings_that_nobody_continues_go_and_one_that_is_under_way_stays(workspace):
    abandoned, under_way = (put(workspace.training / digest / "curve.jsonl") for digest in (UNUSED, "d" * 20))
    compiled = put(workspace.cache / "compiled" / "ab" / "code.so")
    begun, over = threading.Event(), threading.Event()

    def train() -> None:
        with workspace.training_lock("d" * 20):
            begun.set()
            over.wait(60)

    training = threading.Thread(target=train)
    training.start()
    begun.wait(60)
    try:
        age(workspace.training / ("d" * 20))
        fates = collected(workspace)
        assert fates["training", "d" * 20].becomes == "kept"
        assert "already under way" in fates["training", "d" * 20].why
        assert (abandoned.exists(), under_way.exists(), compiled.exists()) == (False, True, True)
    finally:
        over.set()
        training.join()
    age(workspace.training / ("d" * 20))
    collected(workspace)
    assert (under_way.exists(), compiled.exists()) == (False, False)
