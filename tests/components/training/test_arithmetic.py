"""bf16 is taken where a processor has instructions for it, and nowhere else."""

import platform
from pathlib import Path

import pytest
import torch

from components.training import arithmetic

CPU = torch.device("cpu")


@pytest.mark.parametrize("has", [True, False])
def test_a_processor_without_instructions_for_it_trains_in_fp32(game, monkeypatch, has):
    monkeypatch.setattr(arithmetic, "has_instructions", lambda: has)
    results = []
    for precision in ("fp32", "bf16"):
        played = game()
        played.train(32, precision=precision)
        results.append([tensor.clone() for tensor in played.networks.state_dict().values()])
    alike = all(torch.equal(one, other) for one, other in zip(*results, strict=True))
    assert alike is not has


def test_fp32_stays_fp32_and_a_gpu_has_its_own_instructions(monkeypatch):
    monkeypatch.setattr(arithmetic, "has_instructions", lambda: False)
    assert not arithmetic.uses_bf16("fp32", torch.device("cuda"))
    assert not arithmetic.uses_bf16("bf16", CPU)
    assert arithmetic.uses_bf16("bf16", torch.device("cuda"))


@pytest.mark.skipif(
    platform.system() != "Linux" or platform.machine() != "x86_64", reason="what else lists a processor's instructions?"
)
def test_what_is_found_is_what_the_kernel_lists_of_the_processor():
    listed = set(Path("/proc/cpuinfo").read_text().split())
    assert arithmetic.has_instructions() == bool(listed & {"avx512_bf16", "amx_bf16"})
