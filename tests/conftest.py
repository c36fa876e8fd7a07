"""What every test stands on: no telemetry, no real servers or credentials, one thread, repeatable examples."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Before torch is imported, and so before tests import mlflow and prefect: each reads its settings once.
os.environ.update(DO_NOT_TRACK="1", MLFLOW_DISABLE_TELEMETRY="true", PREFECT_SERVER_ANALYTICS_ENABLED="false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests that start two processes would fight over two cores

import pytest
import torch
from beartype import BeartypeConf, beartype
from hypothesis import settings
from jaxtyping import install_import_hook

ROOT = Path(__file__).parents[1]
SHAPED = ("models", "objectives", "data.batch", "data.loader")  # without typing.Self, which the check cannot read

# Where tensors flow, tests check what the annotations promise, shapes included; a whole number may stand for a float.
check_types = beartype(conf=BeartypeConf(is_pep484_tower=True))
install_import_hook([f"components.{name}" for name in SHAPED], f"{__name__}.check_types")

for name in tuple(os.environ):
    if name.startswith(("AWS_", "MLFLOW_TRACKING_", "MLFLOW_S3_", "PREFECT_API_")):
        del os.environ[name]  # a developer's own servers and keys must not be reached from a test
_prefect_home = tempfile.TemporaryDirectory(prefix="kintsugi-prefect-")  # gone when the tests end
os.environ["PREFECT_HOME"] = _prefect_home.name
torch.set_num_threads(1)
settings.register_profile("kintsugi", deadline=None, derandomize=True, database=None, max_examples=50)
settings.load_profile("kintsugi")


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
