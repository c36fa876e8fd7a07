"""Torch as configurations meet it: sections stand beside the networks they build, and are read without torch.

Importing torch takes two seconds, and reading, checking and planning a run needs nothing of it. Where torch has been
imported already, as in ranks and tests, all here is torch's own. Elsewhere the modules are imported when something of
them is used, `Module` takes `torch.nn.Module` as its base when the first network is built, and `Tensor` stands for
torch's in annotations. Python 3.15's lazy imports (PEP 810) would do for the modules, but not for the base classes.
"""

import sys
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from components.deferred import later

__all__ = ["BatchNorm2d", "F", "Module", "Tensor", "inference_mode", "nn", "torch"]

P = ParamSpec("P")
Result = TypeVar("Result")

if TYPE_CHECKING or "torch" in sys.modules:
    import torch
    import torch.nn.functional as F
    from torch import Tensor, nn
    from torch.nn import BatchNorm2d, Module
else:
    torch, nn, F = later("torch"), later("torch.nn"), later("torch.nn.functional")

    class _IsTensor(type):
        def __instancecheck__(cls, one: object) -> bool:
            return isinstance(one, torch.Tensor)

    class Tensor(metaclass=_IsTensor):
        """Stands for `torch.Tensor`."""

    def _of_torch(name: str) -> type:
        """Return a class that becomes a subclass of torch's when the first object of it or of a subclass is made."""

        class Nothing:
            """A base that can be exchanged, which `object` cannot."""

        def make(cls: type, *_arguments: Any, **_options: Any) -> object:  # noqa: ANN401 - __init__'s
            if base.__bases__ == (Nothing,):
                base.__bases__ = (getattr(nn, name),)
            return object.__new__(cls)

        base = type(name, (Nothing,), {"__new__": make, "__doc__": f"`torch.nn.{name}`."})
        return base

    Module, BatchNorm2d = _of_torch("Module"), _of_torch("BatchNorm2d")


def inference_mode(function: Callable[P, Result]) -> Callable[P, Result]:
    """Run a function in torch's inference mode."""

    @wraps(function)
    def run(*_arguments: P.args, **_options: P.kwargs) -> Result:
        with torch.inference_mode():
            return function(*_arguments, **_options)

    return run
