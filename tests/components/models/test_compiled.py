"""A discriminator's pass with its slopes, as torch.compile takes it: in a process where no annotations are checked."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # a network of sixteen blocks is traced twice

COMPARE = """
import copy
import torch
from components.models import DiscriminatorConfig
from components.objectives.penalty import traceable_slopes, with_slopes
from components.section import kinds

torch.manual_seed(1)
images = torch.rand(2, 3, 16, 16) * 2 - 1
for cls in kinds(DiscriminatorConfig):
    network = cls(**({"width": 8} if "width" in cls.model_fields else {})).build(16)
    found = []
    for differentiated in (with_slopes, torch.compile(traceable_slopes, fullgraph=True, backend="aot_eager")):
        tried = copy.deepcopy(network)  # spectral norms move
        logits, slopes = differentiated(tried, images)
        (logits.mean() + slopes.square().sum()).backward()
        found.append([logits.detach(), *(value.grad for value in tried.parameters() if value.grad is not None)])
    for plain, compiled in zip(*found, strict=True):
        torch.testing.assert_close(compiled, plain)
    print(cls.__name__)
"""


def test_a_compiler_takes_a_pass_and_its_slopes_as_one_graph_that_learns_the_same(root: Path) -> None:
    done = subprocess.run([sys.executable, "-c", COMPARE], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"DcganDiscriminatorConfig", "R3DiscriminatorConfig"} <= set(done.stdout.split())
