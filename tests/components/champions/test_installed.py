"""`import kintsugi` works where the project is installed, from its wheel and as a checkout, and brings its types."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
PROGRAM = "import kintsugi; from kintsugi import Champion, champion; print(kintsugi.__file__, champion.__module__)"


@pytest.fixture(scope="module")
def source(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is packaged: building leaves folders beside it."""
    copy = tmp_path_factory.mktemp("source") / "checkout"
    copy.mkdir()
    for name in ("components", "flows"):
        shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, copy)
    return copy


@pytest.mark.parametrize("way", [["--editable"], []], ids=["a checkout", "a wheel"])
def test_the_name_can_be_imported_from(way: list[str], source: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    (site,) = (tmp_path / "venv" / "lib").glob("*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    options = ["--offline", "--no-deps", "--no-build-isolation", "--python", str(python)]
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", *options, *way, str(source)]
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    environment["UV_CACHE_DIR"] = str(tmp_path / "cache")
    subprocess.run(command, check=True, env=environment)
    done = subprocess.run(
        [python, "-c", PROGRAM], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    place, module = done.stdout.split()
    assert module == "components.champions.champion"
    assert Path(place).is_relative_to(source / "components" / "kintsugi" if way else site / "kintsugi")
    assert (Path(place).parent / "py.typed").is_file()
    assert (Path(place).parents[0 if way else 1] / ("../py.typed" if way else "components/py.typed")).is_file()
