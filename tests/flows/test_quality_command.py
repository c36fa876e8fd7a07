"""`kintsugi data quality` says what is odd about images, for people and for programs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)


def quality(config: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "flows.cli", "data", "quality", str(config), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_is_odd_is_said_to_people_and_to_programs(root):
    config = root / "tests" / "flows" / "mini.yaml"
    said, told = quality(config), quality(config, "--json")
    assert (said.returncode, told.returncode) == (0, 0), said.stderr + told.stderr
    found = json.loads(told.stdout)
    assert found["images"] == 300
    for one in found["findings"]:
        assert f"{one['name']}  " in said.stdout
    assert f"leaves {found['near_copies']['left_out']} images out of training" in said.stdout
    assert (Path(found["path"]) / "findings.json").is_file()


def test_a_configuration_that_is_not_there_is_said_in_one_line(tmp_path):
    said = quality(tmp_path / "none.yaml")
    assert said.returncode == 2
    assert "Traceback" not in said.stderr
