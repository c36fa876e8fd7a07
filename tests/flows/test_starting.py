"""What only helps, lists or checks imports none of the libraries that take seconds."""

import importlib
import importlib.metadata
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cyclopts import App

from flows.cli.commands import COMMANDS

SLOW = ("torch", "mlflow", "prefect", "boto3")
PROGRAM = """
import sys
from flows.cli import main
try:
    main()
finally:
    print("IMPORTED", *(name for name in %r if name in sys.modules))
"""


def imported(home: Path, *words: str) -> set[str]:
    """Call `kintsugi WORDS` in a process of its own, and return which slow libraries it has imported."""
    command = [sys.executable, "-c", PROGRAM % (SLOW,), *words]
    environment = os.environ | {"KINTSUGI_HOME": str(home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["--version"]])
def test_help_imports_nothing_slow(tmp_path: Path, words: list[str]) -> None:
    assert imported(tmp_path, *words) == set()


@pytest.mark.slow
def test_the_second_check_and_the_second_list_of_models_import_nothing_slow(root: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    config = str(root / "tests" / "flows" / "mini.yaml")
    for words in (["check", config], ["models"]):
        imported(tmp_path, *words)  # networks are counted, MLflow makes its tables
        assert imported(tmp_path, *words) == set()


@pytest.mark.parametrize(("file", "name"), [(file, name) for file, lines in COMMANDS.items() for name in lines])
def test_the_list_of_commands_says_the_first_sentence_of_each_commands_own_help(file: str, name: str) -> None:
    command = getattr(importlib.import_module(f"flows.cli.{file}"), name)
    words = " ".join(((command.help if isinstance(command, App) else inspect.getdoc(command)) or "").split())
    assert words.startswith(COMMANDS[file][name])


def test_the_list_of_commands_is_whole() -> None:
    done = subprocess.run([sys.executable, "-m", "flows.cli"], capture_output=True, text=True, check=True, timeout=110)
    for lines in COMMANDS.values():
        for name, line in lines.items():
            assert f"│ {name} " in done.stdout
            assert line.split()[0] in done.stdout


@pytest.mark.parametrize("words", [["--version"], ["models", "--version"]])
def test_version_is_that_of_the_installed_program(words: list[str]) -> None:
    command = [sys.executable, "-m", "flows.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=110)
    assert done.stdout.strip() == importlib.metadata.version("kintsugi")
