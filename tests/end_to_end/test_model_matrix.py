"""One case of the matrix; `make matrix` runs it whole, `tests/architecture` sees that nothing is missing from it."""

import subprocess
import sys
from pathlib import Path

import pytest

MATRIX = Path(__file__).with_name("model_matrix.py")


@pytest.mark.smoke
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_training_by_two_processes_in_bfloat16_that_was_stopped_ends_in_the_bytes_of_one_that_was_not():
    case = ["--models", "r3net_by_class", "--processes", "2", "--precision", "bf16"]
    said = subprocess.run(
        [sys.executable, MATRIX, *case, "--training-only"], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr
    row = said.stdout.splitlines()[1].split()
    assert row[:3] == case[1::2]
    assert row[4] == "equal"
