"""What every test stands on: no telemetry, no real servers or credentials, one thread, repeatable examples."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, get_args

# Before torch is imported, and so before tests import mlflow and prefect: each reads its settings once.
os.environ.update(DO_NOT_TRACK="1", MLFLOW_DISABLE_TELEMETRY="true", PREFECT_SERVER_ANALYTICS_ENABLED="false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests that start two processes would fight over two cores

import jaxtyping
import pytest
import torch
from beartype import BeartypeConf, beartype
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from components.data import ShardSet

ROOT = Path(__file__).parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

_SCORES = ("evidence", "generation", "likelihood", "mending", "network", "replicates", "similarity")
SHAPED = (
    "baselines",
    "corruption",
    "data",
    "models",
    "objectives",
    "pictures",
    "recipes",
    "training",
    "worker.validation",
    *(f"evaluation.{name}" for name in _SCORES),
)

# Where tensors flow, tests check what the annotations promise, shapes included; a whole number may stand for a float.
_check = beartype(conf=BeartypeConf(is_pep484_tower=True))


def check_types(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with its annotations checked, but for `Self`, which means nothing outside of its class."""
    hints = function.__annotations__
    hints.update({name: object for name, hint in hints.items() if Self in (hint, *get_args(hint))})
    return _check(function)


jaxtyping.install_import_hook([f"components.{name}" for name in SHAPED], f"{__name__}.check_types")

for name in tuple(os.environ):
    if name.startswith(("AWS_", "DASK_", "KINTSUGI_", "MLFLOW_TRACKING_", "MLFLOW_S3_", "PREFECT_API_")):
        del os.environ[name]  # a developer's own servers and keys must not be reached from a test
_prefect_home = tempfile.TemporaryDirectory(prefix="kintsugi-prefect-")  # gone when the tests end
os.environ["PREFECT_HOME"] = _prefect_home.name
torch.set_num_threads(1)
settings.register_profile("kintsugi", deadline=None, derandomize=True, database=None, max_examples=50)
settings.load_profile("kintsugi")


COSTLY = {  # files that stand on one finished run, which takes minutes to make
    "smoke": {f"tests/end_to_end/test_{name}.py" for name in ("mistakes", "over_dask", "servers", "smoke")},
    "retrained": {f"tests/flows/test_{name}.py" for name in ("champions", "flows_alone", "retrain", "side_by_side")},
}
LONG = ("server", "smoke", "flow", "distributed", "slow")


class SideBySide(LoadFileScheduling):
    """Gives each process one file after the other, in the order they were collected in; files of one run as one."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return next((run for run, files in COSTLY.items() if file in files), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> SideBySide:
    """Return how tests are spread over processes, where `--numprocesses` asks for some."""
    return SideBySide(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes long, where tests run side by side: no process then waits for another at the end."""
    if not hasattr(config, "workerinput"):
        return
    rank = {item.path: len(LONG) for item in items}
    for item in items:
        found = [LONG.index(mark.name) for mark in item.iter_markers() if mark.name in LONG]
        rank[item.path] = min([rank[item.path], *found])
    items.sort(key=lambda item: rank[item.path])


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace of the test's own, so that none writes into the checkout."""
    # Neither tmp_path nor monkeypatch: hypothesis refuses tests that stand on fixtures made anew per test.
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("KINTSUGI_HOME", str(folder))
        yield folder


@pytest.fixture
def shapes_unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test hand over what annotations forbid, to hear what the code itself says of it."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> "ShardSet":
    """60 drawn images of 16 px; no test may change them."""
    return _drawn(tmp_path_factory.mktemp("shapes"), labels=False)


@pytest.fixture(scope="session")
def shards_of_classes(tmp_path_factory: pytest.TempPathFactory) -> "ShardSet":
    """The same images, with classes."""
    return _drawn(tmp_path_factory.mktemp("shapes-of-classes"), labels=True)


def _drawn(folder: Path, *, labels: bool) -> "ShardSet":
    from components.artifacts import Store
    from components.data import DatasetConfig, ShapesSource, write_shards

    source = ShapesSource(images=60, raster_px=16, labels=labels)
    return write_shards(DatasetConfig(source=source, size=16), Store(folder))


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow's with nothing in it, for copies: making its tables takes 5 s."""
    from components.tracking import runs

    home = tmp_path_factory.mktemp("migrated")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("KINTSUGI_DEFAULT_TRACKING_URI", raising=False)
        runs.configure(home)
    return home / "mlflow.db"


@pytest.fixture(scope="session")
def prefect_api() -> Iterator[str]:
    """The address of a real Prefect server with an empty database, which flows in this process use, too."""
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        yield str(PREFECT_API_URL.value())


@pytest.fixture(scope="module")  # while it lives, its event loop runs in this thread, and Prefect's flows would see it
def browser() -> "Iterator[Browser]":
    """A real browser without a window."""
    from playwright.sync_api import Error, sync_playwright  # here, for not every environment has it

    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    with sync_playwright() as playwright:
        try:
            opened = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        except Error as error:
            pytest.fail(
                f"No usable Chromium (looked for {', '.join(BROWSERS)} and playwright's own). "
                f"Install one: `apt-get install chromium`, or `playwright install chromium`.\n{error}"
            )
        yield opened
        opened.close()
