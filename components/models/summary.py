"""What a network costs: parameters and multiply-adds."""

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(module: nn.Module) -> int:
    """Return how many trained numbers `module` holds; shared ones count once."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def multiply_adds(module: nn.Module, *example: Tensor) -> int:
    """Return the multiply-adds of one forward pass on `example`, counting convolutions and matrix products.

    Half of what torch's `FlopCounterMode` counts. `module` is left as it was: no running statistics move.
    """
    was_training = module.training
    counter = FlopCounterMode(display=False)
    module.eval()
    try:
        with torch.no_grad(), counter:
            module(*example)
    finally:
        module.train(was_training)
    return int(counter.get_total_flops()) // 2
