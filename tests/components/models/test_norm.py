"""BatchNorm2d in one process; tests/distributed has it in two."""

import torch

from components.models.norm import BatchNorm2d


def test_one_process_computes_what_torch_computes():
    ours, theirs = BatchNorm2d(3), torch.nn.BatchNorm2d(3)
    x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * 2 + 1
    for _ in range(2):
        assert torch.equal(ours(x), theirs(x))
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())
    assert torch.equal(ours.eval()(x), theirs.eval()(x))


def test_its_state_is_that_of_torch():
    assert BatchNorm2d(3).state_dict().keys() == torch.nn.BatchNorm2d(3).state_dict().keys()
