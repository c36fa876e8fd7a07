"""The world of one process, and what is said when torchrun's variables make no sense."""

import pytest
import torch
from torch import nn

from components import distributed
from components.workspace import threads_per_process

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


@pytest.fixture
def no_torchrun(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def test_without_torchrun_there_is_one_process_and_no_group(no_torchrun):
    with distributed.process_group() as world:
        assert (world.rank, world.processes, world.local_rank) == (0, 1, 0)
        assert not torch.distributed.is_initialized()
        assert distributed.is_main()


def test_one_process_of_torchrun_is_a_world_of_one(no_torchrun, monkeypatch):
    for name, value in zip(NAMES, "0101", strict=True):
        monkeypatch.setenv(name, value)
    with distributed.process_group() as world:
        assert world.processes == 1


def test_incomplete_variables_are_named(no_torchrun, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(ValueError, match="found RANK=1 but not WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE"):
        distributed.process_group().__enter__()


def test_collectives_of_one_process_return_what_they_are_given():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    layer = nn.Linear(1, 1)
    assert distributed.all_reduce_sum(x) is x
    assert distributed.gather_rows(x) is x
    assert distributed.replicate(layer) is layer
    assert distributed.any_rank(flag=True) is True
    assert distributed.any_rank(flag=False) is False
    assert distributed.average_scalars({"b": x[1], "a": x[0]}) == {"b": 2, "a": 1}
    assert distributed.average_scalars({}) == {}
    distributed.barrier()


def test_a_scalar_has_no_rows_to_gather():
    with pytest.raises(ValueError, match="found a scalar to gather"):
        distributed.gather_rows(torch.tensor(1.0))


def test_numbers_too_small_for_full_precision_count_as_zero_in_forward_and_backward_of_ranks_alone(no_torchrun):
    weight = torch.full((4, 4), 1e-20, requires_grad=True)
    with distributed.process_group():
        product = weight @ torch.full((4, 4), 1e-20)
        product.backward(torch.full((4, 4), 1e-20))
        assert not product.any()
        assert not weight.grad.any()
    assert (torch.full((1,), 1e-20) * 1e-20).any()


@pytest.mark.parametrize("chosen", [True, False])
def test_threads_are_set_unless_the_user_chose(no_torchrun, monkeypatch, chosen):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    if not chosen:
        monkeypatch.delenv("OMP_NUM_THREADS")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with distributed.process_group():
            assert torch.get_num_threads() == (1 if chosen else threads_per_process())
    finally:
        torch.set_num_threads(before)
