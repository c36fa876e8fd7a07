"""What a training holds in memory at its fullest, found out on tensors that have shapes and no content."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from components.data.batch import Batch
from components.training.phase import Phase, freeze_others


def step_bytes(phases: Sequence[Phase], batch: Batch) -> int:
    """Return the bytes that are alive at once at most, of weights, gradients and what passes leave for backward.

    Every phase is run once. What `held_bytes` says comes on top, as do buffers of libraries and what allocators keep
    for later; autocast is not followed.

    Args:
        phases: Of networks on the device `meta`, so that nothing is computed and nothing held.
        batch: A rank's rows, on the same device.
    """
    alive = _Alive()
    with alive:
        for phase in phases:
            alive.count(phase.objective.parameters())
            freeze_others(phase)
            phase.objective(batch, 0)["loss"].backward()
            for parameter in phase.trained:
                parameter.grad = None
    return alive.most


def held_bytes(phases: Sequence[Phase], producer: torch.nn.Module) -> int:
    """Return the bytes that stay besides: two moments of each trained number, the average, and the best average."""
    trained: int = sum(parameter.nbytes for phase in phases for parameter in phase.trained)
    averaged: int = sum(parameter.nbytes for parameter in producer.parameters())
    return 2 * trained + 2 * averaged


class _Alive(TorchDispatchMode):
    """Counts the bytes of all storages that live, and how many there were at most."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch's types
        self.most = 0
        self._now = 0
        self._known: set[int] = set()

    def count(self, tensors: Any) -> None:  # noqa: ANN401 - whatever an operation returns
        for one in tree_iter(list(tensors) if not isinstance(tensors, Tensor) else tensors):
            if isinstance(one, Tensor):
                self._meet(one.untyped_storage())

    def _meet(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        weakref.finalize(storage, self._forget, key, size)
        self._now += size
        self.most = max(self.most, self._now)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._now -= size

    def __torch_dispatch__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever was asked for
        made = function(*args, **(kwargs or {}))
        self.count([made])
        return made
