"""The command `kintsugi` as a person calls it, in processes of its own, and one finished run that most tests share."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.launch.forkserver import Forkserver

IMPORTED = ["torch", "pandas", "sklearn", "sqlalchemy.orm", "alembic", "components.worker.__main__"]
COMMAND = str(Path(sys.executable).with_name("kintsugi"))

Call = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[str]"]


@dataclass(frozen=True)
class Finished:
    """A workspace with a finished run, and what the run said."""

    home: Path
    config: Path
    said: "subprocess.CompletedProcess[str]"
    took_s: float


@pytest.fixture(scope="session")
def environment() -> Callable[[Path, Mapping[str, str]], dict[str, str]]:
    """Return what a person's shell holds, and no more."""

    def variables(home: Path, more: Mapping[str, str]) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PREFECT_", "MLFLOW_TRACKING", "KINTSUGI_"))
        }
        return {**kept, "KINTSUGI_HOME": str(home), **more}

    return variables


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that commands are called from: not the checkout, which must stay as it is."""
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="session")
def start(environment, elsewhere: Path) -> Start:
    """Start a command and do not wait for it."""

    def begin(*arguments: str | Path, home: Path, **more: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [COMMAND, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(home, more),
            cwd=elsewhere,
        )

    return begin


@pytest.fixture(scope="session")
def imported(environment, elsewhere: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forkserver]:
    """A server that forks commands, which then need not import torch, each for seconds.

    Neither MLflow nor Prefect are imported there: they read variables as they are.
    """
    server = Forkserver(IMPORTED, environment(elsewhere, {}), tmp_path_factory.mktemp("imported") / "log")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def call(imported: Forkserver, environment, elsewhere: Path) -> Call:
    """Run a command to its end, with a Prefect server of its own if it needs one."""

    def run(
        *arguments: str | Path, home: Path, timeout_s: float = 110, **more: str
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            imported.command("flows.cli", [*map(str, arguments)]),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env=environment(home, more),
            cwd=elsewhere,
        )

    return run


@pytest.fixture(scope="session")
def served(prefect_api: str) -> dict[str, str]:
    """Variables that name one Prefect server for many commands, as a team has it; it also saves its start."""
    return {"PREFECT_API_URL": prefect_api}


@pytest.fixture(scope="session")
def smoke(start: Start, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The first run on a new machine: no workspace yet, no server, the command as it was installed."""
    home = tmp_path_factory.mktemp("machine") / "not" / "there" / "yet"
    config = root / "tests" / "end_to_end" / "smoke.yaml"
    began = time.monotonic()
    process = start("run", config, home=home)
    out, err = process.communicate(timeout=900)
    said = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    return Finished(home, config, said, time.monotonic() - began)


@pytest.fixture(scope="session")
def vae_only(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of one small model, long enough to be interrupted."""
    path = tmp_path_factory.mktemp("configs") / "long.yaml"
    path.write_text(
        "\n".join(
            [
                "name: long",
                "dataset: {source: {kind: shapes, images: 120}, size: 16}",
                "models:",
                "  vae:",
                "    recipe: {kind: vae, network: {kind: conv, latent: 4, width: 8}}",
                "    training: {images: 24_000, batch: 32}",
                "    execution: {log_every: 320, sample_every: 12_000, checkpoint_every: 320}",
                "    evaluation: {kind: generation, samples: 16}",
                "    promotion: {metric: reconstruction_psnr}",
            ]
        )
    )
    return path
