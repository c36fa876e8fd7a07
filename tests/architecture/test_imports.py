"""Who imports whom: the contracts of .importlinter hold, and cover what is there."""

import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path


def test_import_contracts_hold(root: Path) -> None:
    # In a process of its own: import-linter configures logging and so silences every logger of this one.
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", program, "--no-cache", "--no-logo"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_serving_is_the_top_of_the_layers_and_sections_their_ground(root: Path) -> None:
    config = ConfigParser()
    config.read(root / ".importlinter")
    layers = config["importlinter:contract:layers"]["layers"].split("\n")
    assert layers[1].strip() == "(serving)"
    assert layers[-1].strip() == "section | deferred"
    assert config["importlinter:contract:layers"].getboolean("exhaustive")


def test_few_loose_files_stand_beside_the_rooms(root: Path) -> None:
    loose = {path.stem for path in (root / "components").glob("*.py")} - {"__init__"}
    assert loose <= {"section", "seeding", "ramp", "workspace", "distributed"}
