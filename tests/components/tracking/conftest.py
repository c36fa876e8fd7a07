"""A real MLflow store per test, on SQLite; its tables are made once."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy

from components.recipes.interface import generating
from components.tracking import registry, runs

LOADER = "tiny_serving"

_LOADER_TEXT = """
import json
from pathlib import Path

class Model:
    def __init__(self, path):
        self.value = json.loads((Path(path) / "model.json").read_text())["value"]

    def predict(self, frame):
        return [{"image": f"{self.value}:{seed}"} for seed in frame["seed"]]

def _load_pyfunc(path):
    return Model(path)
"""


@pytest.fixture(scope="session", autouse=True)
def _unsynchronised() -> Iterator[None]:
    """Spare the tests' databases the wait for the disk; atomicity stays."""

    def connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    sqlalchemy.event.listen(sqlalchemy.Engine, "connect", connected)
    yield
    sqlalchemy.event.remove(sqlalchemy.Engine, "connect", connected)


@pytest.fixture
def store(migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configured home with an empty store."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("KINTSUGI_DEFAULT_TRACKING_URI", raising=False)
    return configured(tmp_path / "home with space", migrated)


def configured(place: Path, database: Path) -> Path:
    """Return the new folder `place`, which tracking now uses, with a copy of a database."""
    place.mkdir()
    shutil.copy(database, place / "mlflow.db")
    runs.configure(place)
    return place


@pytest.fixture
def loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the import path with the module that loads test models."""
    return loading(tmp_path / "loader", monkeypatch)


def loading(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Return the new `folder`, put on the import path, with the module that loads test models."""
    folder.mkdir()
    (folder / f"{LOADER}.py").write_text(_LOADER_TEXT)
    patch.syspath_prepend(folder)
    return folder


def write_export(folder: Path, value: int) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps({"value": value}))
    (folder / "model.safetensors").write_bytes(bytes([value]) * 64)
    return folder


@pytest.fixture
def registered(store: Path, loader: Path, tmp_path: Path) -> Callable[..., int]:
    """Registers export number `value`, of the model "gan" unless named; more is lineage. Returns its version."""
    return registering(tmp_path / "exports")


def registering(exports: Path) -> Callable[..., int]:
    """Return what registers an export, written below `exports`."""
    run_id = runs.open_run("kintsugi", "training", "digest")

    def register(value: int, name: str = "gan", **lineage: str) -> int:
        folder = exports / str(value)
        return registry.register(
            name,
            registry.Export(
                folder if folder.exists() else write_export(folder, value),
                f"export-{value}",
                "gan",
                generating(),
                LOADER,
            ),
            lineage={"shards": "abc", "config": f"c{value}", **lineage},
            run_id=run_id,
            scores=registry.VersionScores({"fd": float(value), "broken": float("inf")}, json.dumps({"subject": value})),
        )

    return register


@contextmanager
def five_registered(folder: Path, database: Path) -> Iterator[Path]:
    """Yield the home, new in `folder`, of a registry with versions 1 to 5 of "gan", none of them judged yet.

    Args:
        folder: Where it lies, for the tests of a module.
        database: The empty one that it begins with.
    """
    with pytest.MonkeyPatch.context() as patch:
        loading(folder / "loader", patch)
        home = configured(folder / "home", database)
        register = registering(folder / "exports")
        for version in range(1, 6):
            register(version)
        yield home
