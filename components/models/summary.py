"""What a network costs: parameters, multiply-adds and numbers that it leaves in memory."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


def count_parameters(module: nn.Module) -> int:
    """Return how many trained numbers `module` holds; shared ones count once."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def multiply_adds(module: nn.Module, *example: Tensor) -> int:
    """Return the multiply-adds of one forward pass on `example`, counting convolutions and matrix products.

    Half of what torch's `FlopCounterMode` counts, which would first import sympy and Triton: two seconds of every
    `kintsugi check`. `module` is left as it was: no running statistics move.
    """
    return _counted(_Counter(), module, example)


def numbers_made(module: nn.Module, *example: Tensor) -> int:
    """Return how many numbers one forward pass on `example` writes, views not counted; `module` is left as it was."""
    return _counted(_Writer(), module, example)


def _counted(counter: "_Counter | _Writer", module: nn.Module, example: Sequence[Tensor]) -> int:
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad(), counter:
            module(*example)
    finally:
        module.train(was_training)
    return counter.total


class _Writer(TorchDispatchMode):
    """Adds up the numbers of all tensors that are made meanwhile and do not lie in another's memory."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch's types
        self.total = 0

    def __torch_dispatch__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever was asked for
        made = function(*args, **(kwargs or {}))
        given = {one.untyped_storage()._cdata for one in tree_iter(args) if isinstance(one, Tensor)}
        for one in tree_iter(made):
            if isinstance(one, Tensor) and one.untyped_storage()._cdata not in given:
                self.total += one.numel()
        return made


class _Counter(TorchFunctionMode):
    """Adds up the multiply-adds of all that torch is asked for meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever was asked for
        made = function(*args, **(kwargs or {}))
        match function.__name__:
            case "conv1d" | "conv2d" | "conv3d" | "linear":  # each number made sums over one row of the weights
                self.total += made.numel() * args[1][0].numel()
            case "conv_transpose1d" | "conv_transpose2d" | "conv_transpose3d":  # each number given meets one row
                self.total += args[0].numel() * args[1][0].numel()
            case "matmul" | "mm" | "bmm":
                self.total += made.numel() * args[0].shape[-1]
        return made
