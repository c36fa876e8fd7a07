"""One case of the matrix, and that no network is missing from it; `make matrix` runs it whole."""

import subprocess
import sys
from pathlib import Path

import pytest

from components.config import load
from components.models import DiscriminatorConfig, GeneratorConfig, InpainterNetworkConfig, VaeNetworkConfig
from components.section import kinds

MATRIX = Path(__file__).with_name("model_matrix.py")


def test_every_network_that_a_file_can_name_is_in_the_matrix():
    recipes = [model.recipe for model in load(MATRIX.with_suffix(".yaml")).models.values()]
    found = {
        type(getattr(recipe, part))
        for recipe in recipes
        for part in ("generator", "discriminator", "network")
        if hasattr(recipe, part)
    }
    unions = (GeneratorConfig, DiscriminatorConfig, VaeNetworkConfig, InpainterNetworkConfig)
    assert found == {network for union in unions for network in kinds(union)}


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
