"""Scores, intervals and pictures of generators do not depend on how many processes share the work."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from components.evaluation.protocol import ScoreTable, differences

pytestmark = [pytest.mark.distributed, pytest.mark.slow]
WORKER = Path(__file__).with_name("fidelity_worker.py")


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    root = WORKER.parents[2]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", WORKER, folder]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    spec = importlib.util.spec_from_file_location("fidelity_worker", WORKER)
    worker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(worker)
    return worker.tables(tmp_path_factory.mktemp("one"))


@pytest.mark.parametrize("name", ["gan", "vae", "baselines"])
def test_two_processes_give_the_scores_and_pictures_of_one(one, two, name):
    found = ScoreTable.read(two / f"{name}.json").rows
    assert found.keys() == one[name].rows.keys()
    for row, scores in found.items():
        for score, expected in zip(scores, one[name].rows[row], strict=True):
            assert not differences(score, expected)
            assert (score.value, score.low, score.high) == pytest.approx(
                (expected.value, expected.low, expected.high), rel=1e-9
            )
    with np.load(two / f"{name}.npz") as pictures:
        assert set(pictures) == set(one[name].pictures)
        for key, picture in one[name].pictures.items():
            assert np.array_equal(pictures[key], picture)
