"""Two processes against one: collectives, batch statistics and whole objectives."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

pytestmark = pytest.mark.distributed
WORKER = Path(__file__).with_name("collectives_worker.py")


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", WORKER, folder]
    done = subprocess.run(
        command, cwd=WORKER.parents[2], env=environment(), capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return folder


def environment():
    return os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(WORKER.parents[2])}


@pytest.fixture(scope="module")
def one():
    spec = importlib.util.spec_from_file_location("collectives_worker", WORKER)
    worker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(worker)
    return worker.everything()


@pytest.fixture(scope="module")
def facts(two):
    return [json.loads((two / f"{rank}.json").read_text()) for rank in (0, 1)]


def test_each_process_knows_its_place(facts):
    assert [(fact["rank"], fact["processes"], fact["is_main"]) for fact in facts] == [(0, 2, True), (1, 2, False)]


def test_a_flag_of_one_process_is_seen_by_all(facts):
    assert all(fact["any"] == [True, False] for fact in facts)


def test_scalars_are_averaged_by_name(facts):
    assert all(fact["average"] == {"b": 1.5, "a": 0.5} for fact in facts)


def test_a_sum_over_processes_has_the_gradients_of_the_sum(facts):
    # y = 1 + 2, loss = (1 + 2) y³ over both: first = 9 y² = 81; the sum of both firsts is 18 y², so second = 36 y.
    assert all(fact["sum"] == [3, 81, 108] for fact in facts)


def test_rows_are_gathered_in_rank_order_also_when_their_numbers_differ(facts):
    assert [fact["rows"] for fact in facts] == [[[0, 1, 2]], None]
    assert [fact["flags"] for fact in facts] == [[True, True, False, True], None]


@pytest.mark.parametrize("part", ["norm", "generator", "vae", "wasserstein", "relativistic"])
def test_two_processes_equal_one_on_the_joined_batch(one, two, part):
    joined = load_file(two / "0.safetensors")
    names = [name for name in one if name.startswith(part)]
    assert names
    for name in names:
        # Penalties are computed in single precision, everything else here in double.
        tolerance = 1e-5 if part in {"wasserstein", "relativistic"} else 1e-9
        torch.testing.assert_close(joined[name], one[name].detach(), rtol=tolerance, atol=tolerance, msg=name)


def test_both_processes_end_with_the_same_gradients(two):
    first, second = (load_file(two / f"{rank}.safetensors") for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in second)
