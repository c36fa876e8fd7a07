"""A small drill of the object store; `make s3-drill` runs the large one."""

import subprocess
import sys
from pathlib import Path

import pytest

DRILL = Path(__file__).with_name("s3_drill.py")


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_store_that_misbehaves_at_random_loses_nothing_doubles_nothing_and_shows_nothing_half():
    options = ["--faults", "600", "--seconds", "60", "--threads", "8", "--seed", "3"]
    said = subprocess.run([sys.executable, DRILL, *options], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    assert "**0 broken promises.**" in said.stdout
