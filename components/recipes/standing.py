"""Standing statistics: averaged weights are normalised by what they themselves make, not by what others made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from components.deferred.torch import Tensor, nn, torch
from components.models.norm import BatchNorm2d


@contextmanager
def settled(network: nn.Module, inputs: Iterable[tuple[Tensor, ...]]) -> Iterator[None]:
    """Have batch normalisations use `settle`'s statistics within the block, and those that were there after it."""
    buffers = [buffer for norm in _norms(network) for buffer in norm.buffers()]
    before = [buffer.clone() for buffer in buffers]
    settle(network, inputs)
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)


def settle(network: nn.Module, inputs: Iterable[tuple[Tensor, ...]]) -> None:
    """Set the statistics of each batch normalisation to their mean over passes of `network` over `inputs`.

    Running statistics are those of weights that move; an average of weights that lay far apart makes features of
    another mean and size, and its pictures get a cast. Brock et al. 2019 call these standing statistics,
    https://arxiv.org/abs/1809.11096. Each process looks at its own passes alone.
    """
    norms = _norms(network)
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum, norm.is_alone = None, True  # None: the mean of all passes
        norm.train()
    try:
        with torch.no_grad():
            for given in inputs:
                network(*given)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum, norm.is_alone = momentum, False
            norm.eval()


def _norms(network: nn.Module) -> list[BatchNorm2d]:
    return [one for one in network.modules() if isinstance(one, BatchNorm2d)]
