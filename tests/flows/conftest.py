"""Runs of the smallest configuration with a real Prefect server, shared because each costs torchrun's start."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.schemas.objects import State


@dataclass(frozen=True)
class Run:
    """A flow run that ended."""

    home: Path
    state: State[Any]

    @property
    def flow_run(self) -> Any:
        return self.state.state_details.flow_run_id

    @property
    def result(self) -> Any:
        return self.state.result()


@pytest.fixture(scope="session")
def mini(root: Path) -> Path:
    """Two models, every stage."""
    return root / "tests" / "flows" / "mini.yaml"


@pytest.fixture(scope="session")
def vae_only(mini: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run with the VAE alone."""
    content = yaml.safe_load(mini.read_text())
    del content["models"]["inpainter"], content["corruption"]
    path = tmp_path_factory.mktemp("configs") / "vae_only.yaml"
    path.write_text(yaml.safe_dump(content | {"name": "alone"}))
    return path


@pytest.fixture(scope="session")
def at() -> Callable[[Path], AbstractContextManager[None]]:
    """Make a folder the workspace while the block runs."""

    @contextmanager
    def living(home: Path) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("KINTSUGI_HOME", str(home))
            yield

    return living


@pytest.fixture(scope="session")
def carry_out(
    prefect_api: str, migrated: Path, at: Callable[[Path], AbstractContextManager[None]]
) -> Callable[..., Run]:
    """Retrain in a workspace up to a stage, to whatever end."""
    from flows import pipeline

    def run(home: Path, config: Path, *overrides: str, until: str = "publish") -> Run:
        home.mkdir(exist_ok=True)
        if not (home / "mlflow.db").exists():
            shutil.copy(migrated, home / "mlflow.db")
        with at(home):
            return Run(home, pipeline.retrain(config, overrides, until=until, return_state=True))

    return run


@pytest.fixture(scope="session")
def retrained(carry_out: Callable[..., Run], mini: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The first retraining in a new workspace."""
    return carry_out(tmp_path_factory.mktemp("retrained"), mini)


@pytest.fixture(scope="session")
def published(carry_out: Callable[..., Run], vae_only: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One model up to its page, in a workspace of its own."""
    return carry_out(tmp_path_factory.mktemp("published"), vae_only)


@pytest.fixture(scope="session")
def launches() -> Callable[[Path], set[Path]]:
    """Return the log folders of all of torchrun's launches in a workspace."""
    return lambda home: {path.parent for path in (home / "logs").glob("*/*/agent.log")}
