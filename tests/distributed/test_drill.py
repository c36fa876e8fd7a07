"""A small drill; `make drill` runs the large one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

DRILL = Path(__file__).with_name("drill.py")


@pytest.mark.distributed
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_training_killed_at_random_instants_ends_in_the_bytes_of_an_untouched_one(tmp_path):
    options = ["--kills", "2", "--families", "vae", "--processes", "2", "--steps", "40"]
    subprocess.run([sys.executable, DRILL, *options, "--json", tmp_path / "drill.json"], check=True)
    (training,) = json.loads((tmp_path / "drill.json").read_bytes())["trainings"]
    assert training["equal"]
    assert len(training["kills"]) == 2
