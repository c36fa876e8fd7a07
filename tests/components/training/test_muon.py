"""Muon: large convolutions take orthogonal steps, all else AdamW's; what it remembers outlives a checkpoint."""

import copy

import pytest
import torch
from torch import nn

from components.training.muon import MuonAdamW, is_large
from components.training.optimizer import MuonConfig, step_where
from components.training.state import _restore_optimizer


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(4, 16, 3), nn.ReLU(), nn.Conv2d(16, 24, 3), nn.ReLU(), nn.Conv2d(24, 3, 1))


def moved(net, optimizer, steps, first=0):
    for number in range(first, first + steps):
        optimizer.zero_grad()
        images = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(number))
        net(images).square().mean().backward()
        optimizer.step()
    return net


def test_a_step_of_a_large_convolution_is_orthogonal_and_as_large_as_the_rate_says():
    net = network()
    before = net[2].weight.detach().clone()
    moved(net, MuonConfig(rate=0.01).build(net.parameters()), 1)
    step = (before - net[2].weight.detach()).flatten(1)  # 24 x 144
    sizes = torch.linalg.svdvals(step) / (0.01 * 0.2 * 144**0.5)
    assert sizes.max() < 1.3
    assert sizes.min() > 0.5


def test_all_else_moves_as_by_adamw():
    net, other = network(), network()
    rest = [one for one in other.parameters() if not is_large(one)]
    assert len(rest) == 5
    moved(net, MuonConfig(rate=0.01).build(net.parameters()), 1)
    moved(other, torch.optim.AdamW(rest, lr=0.01, betas=(0.9, 0.99), weight_decay=0), 1)
    torch.testing.assert_close(net[0].weight, other[0].weight)
    torch.testing.assert_close(net[4].bias, other[4].bias)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_what_was_written_and_read_goes_on_in_the_same_bytes_whichever_way_channels_lie(layout):
    def begun():
        net = network().to(memory_format=layout)
        return net, MuonConfig().build(net.parameters())

    net, optimizer = begun()
    moved(net, optimizer, 3)
    kept = copy.deepcopy(optimizer.state_dict()["state"])
    tensors = {f"{index}/{key}": value.contiguous() for index, one in kept.items() for key, value in one.items()}
    again, resumed = begun()
    again.load_state_dict(net.state_dict())
    _restore_optimizer(resumed, tensors)
    for one, other in zip(
        moved(net, optimizer, 3, 3).parameters(), moved(again, resumed, 3, 3).parameters(), strict=True
    ):
        assert torch.equal(one, other)


def test_a_step_that_is_not_taken_leaves_weights_and_what_is_remembered_as_they_were():
    net = network()
    optimizer = MuonConfig().build(net.parameters())
    moved(net, optimizer, 2)
    before = copy.deepcopy((net.state_dict(), optimizer.state_dict()))
    for one in net.parameters():
        one.grad = torch.full_like(one, torch.nan)
    step_where(torch.tensor(False), optimizer)
    after = (net.state_dict(), optimizer.state_dict())
    assert all(torch.equal(after[0][name], value) for name, value in before[0].items())
    for index, values in before[1]["state"].items():
        assert all(torch.equal(after[1]["state"][index][name], value) for name, value in values.items())


def test_a_network_without_a_large_convolution_is_refused_in_words():
    with pytest.raises(ValueError, match=r"no convolution from 8 or more to 13 or more channels .* take adam"):
        MuonAdamW(nn.Conv2d(4, 16, 3).parameters(), rate=0.1, momentum=0.9, betas=(0.9, 0.99), weight_decay=0)
