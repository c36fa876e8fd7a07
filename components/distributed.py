"""The only module that knows there is more than one process, and the only importer of torch.distributed."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from types import FrameType
from typing import TYPE_CHECKING, Any

from jaxtyping import Num, Shaped

from components.deferred import later
from components.deferred.torch import Tensor, nn, torch
from components.workspace import threads_per_process

if TYPE_CHECKING:
    import torch.distributed as dist
else:
    dist = later("torch.distributed")


@dataclass(frozen=True)
class World:
    """This process's place among all processes of one run."""

    rank: int
    """Number of this process, 0 <= rank < processes."""
    processes: int
    """Number of processes over all hosts."""
    local_rank: int
    """Number of this process on its own host; it uses the GPU of this number."""
    device: torch.device
    """Where this process computes."""


@contextmanager
def process_group(timeout_s: float = 600.0) -> Iterator[World]:
    """Join the processes that torchrun started, or be a world of one where RANK and WORLD_SIZE are unset.

    Collectives run over NCCL where CUDA is visible and over gloo otherwise. Torch's CPU threads are set to this
    host's cores divided by its processes, unless OMP_NUM_THREADS is set (torchrun sets it to 1 when it is not).
    Until the block ends, a CPU counts numbers below 1e-38 as 0: gradients of saturated gates that small made it nine
    times slower.

    Args:
        timeout_s: Seconds after which a collective that another process never joins becomes an error.

    Raises:
        ValueError: torchrun's variables are incomplete, or this host has fewer GPUs than processes.
    """
    rank_here, count, local_rank, local_count = _places()
    device = _device(local_rank, local_count)
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads_per_process(local_count))
    world = World(rank=rank_here, processes=count, local_rank=local_rank, device=device)
    torch.set_flush_denormal(True)  # in this thread and those it starts from now on
    try:
        with _joined_group(timeout_s, device) if count > 1 else nullcontext():
            yield world
    finally:
        torch.set_flush_denormal(False)


@contextmanager
def _joined_group(timeout_s: float, device: torch.device) -> Iterator[None]:
    on_gpu = device.type == "cuda"
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
        timeout=timedelta(seconds=timeout_s),
        device_id=device if on_gpu else None,
    )
    try:
        yield
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """Return the number of this process; 0 outside `process_group`."""
    return dist.get_rank() if dist.is_initialized() else 0


def processes() -> int:
    """Return the number of processes; 1 outside `process_group`."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Return True in the one process that writes files and speaks to the tracker."""
    return rank() == 0


def barrier() -> None:
    """Wait until every process is here."""
    if processes() > 1:
        any_rank(flag=False)


def any_rank(flag: bool) -> bool:  # noqa: FBT001 - the flag is the value, not an option
    """Return True in every process if `flag` is true in any: how all ranks take one decision, such as to stop."""
    return bool(largest(int(flag)))


def largest(value: int) -> int:
    """Return the largest of the processes' whole numbers: how all of them learn what one knows."""
    if processes() == 1:
        return value
    seen = torch.tensor(value, dtype=torch.int64)  # over gloo, with GPUs too: asked before every step, it must not wait
    dist.all_reduce(seen, dist.ReduceOp.MAX)
    return int(seen.item())


def average_scalars(values: Mapping[str, Num[Tensor, ""]]) -> dict[str, float]:
    """Return the mean over processes of each named scalar, with one collective and one wait for the device.

    Every process must pass the same names; the order does not matter.
    """
    if not values:
        return {}
    names = sorted(values)
    stacked = torch.stack([values[name].detach().double() for name in names]).to(_collective_device())
    if processes() > 1:
        dist.all_reduce(stacked)
        stacked /= processes()
    means = dict(zip(names, stacked.tolist(), strict=True))
    return {name: means[name] for name in values}


def all_reduce_sum(x: Num[Tensor, "*shape"]) -> Num[Tensor, "*shape"]:
    """Return the sum of `x` over processes, differentiably; `x` itself with one process.

    Every process's result depends on every process's `x`, so the gradient is the sum of all processes' gradients:
    the backward pass is an all-reduce too, and so is the backward pass of that one. Every process must call this
    equally often and in the same order.
    """
    return x if processes() == 1 else _sum_over_processes().apply(x)


@cache
def _sum_over_processes() -> type[torch.autograd.Function]:
    """Return the class behind `all_reduce_sum`, which cannot be made before torch is imported."""

    class AllReduceSum(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Num[Tensor, "*shape"]) -> Num[Tensor, "*shape"]:  # noqa: ANN401, ARG004 - autograd's own context has no public type
            total = x.detach().clone(memory_format=torch.contiguous_format)
            dist.all_reduce(total)
            return total

        @staticmethod
        def backward(ctx: Any, *gradients: Num[Tensor, "*shape"]) -> Num[Tensor, "*shape"]:  # noqa: ANN401, ARG004
            return all_reduce_sum(gradients[0])

    return AllReduceSum


def replicate(module: nn.Module) -> nn.Module:
    """Return `module` with its gradients averaged over processes during backward; the module itself with one process.

    `find_unused_parameters` is on because DDP otherwise re-orders its buckets after the first step, which changes
    the rounding of sums and so breaks the equality of a resumed run with an uninterrupted one.
    """
    if processes() == 1:
        return module
    device = _collective_device()
    with warnings.catch_warnings():
        # Newer torch renames this option; 2.10 does not know the new name.
        warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated", category=FutureWarning)
        return nn.parallel.DistributedDataParallel(
            module,
            device_ids=[device] if device.type == "cuda" else None,
            find_unused_parameters=True,
            broadcast_buffers=False,
            gradient_as_bucket_view=True,
        )


@contextmanager
def gradient_sync(replica: nn.Module, *, on: bool) -> Iterator[None]:
    """Average gradients over processes in this block's backward passes, or, with `on` false, only add them up here."""
    with nullcontext() if on or not isinstance(replica, nn.parallel.DistributedDataParallel) else replica.no_sync():
        yield


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Average the gradients over processes, in one piece, so that the order of all sums is fixed.

    What `replicate` does during the backward pass, done after it, as steps that are captured for replay need it.
    """
    if processes() == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    joined = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(joined)
    joined /= processes()
    parts = joined.split([gradient.numel() for gradient in gradients])
    torch._foreach_copy_(gradients, [part.view_as(gradient) for part, gradient in zip(parts, gradients, strict=True)])


def gather_rows(tensor: Shaped[Tensor, "..."]) -> Shaped[Tensor, "all_rows ..."] | None:
    """Return all processes' rows in rank order in the main process, and None in the others.

    Processes may bring different numbers of rows, also none; everything after the first dimension must agree.

    Raises:
        ValueError: `tensor` is a scalar and has no rows.
    """
    if tensor.ndim == 0:
        raise ValueError("found a scalar to gather, expected a tensor whose first dimension counts rows")
    if processes() == 1:
        return tensor
    device = _collective_device()
    counts = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(processes())]
    dist.all_gather(counts, torch.tensor([len(tensor)], device=device))
    rows = [int(count.item()) for count in counts]
    # Bytes, because gloo does not carry every type; equal lengths, because gather wants them.
    row_bytes = tensor.element_size() * tensor.shape[1:].numel()
    padded = torch.zeros(max(rows) * row_bytes, dtype=torch.uint8, device=device)
    own = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    padded[: own.numel()] = own.to(device)
    received = [torch.empty_like(padded) for _ in rows] if is_main() else None
    dist.gather(padded, received, dst=0)
    if received is None:
        return None
    whole = torch.cat([part[: count * row_bytes] for part, count in zip(received, rows, strict=True)])
    return whole.view(tensor.dtype).reshape(sum(rows), *tensor.shape[1:]).to(tensor.device)


def install_stop_signal() -> Callable[[], bool]:
    """Turn SIGTERM and SIGINT into a request to stop, and return the function that tells whether one has come.

    More signals change nothing: on Ctrl-C a rank gets one from the terminal and one from torchrun. Must be called
    in the main thread. Ranks get their signals at different times: decide with `any_rank(stop_requested())`.
    """
    received: list[int] = []  # not a threading.Event: its lock hangs a handler that interrupts itself

    def request(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signal module's signature
        received.append(number)

    signal.signal(signal.SIGTERM, request)
    signal.signal(signal.SIGINT, request)
    return lambda: bool(received)


def _places() -> tuple[int, int, int, int]:
    """Return (rank, processes, local rank, local processes) from torchrun's variables."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    found = {name: os.environ[name] for name in names if name in os.environ}
    if "RANK" not in found:
        return 0, 1, 0, 1
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(f"found RANK={found['RANK']} but not {', '.join(missing)}; expected torchrun to set them all")
    return int(found["RANK"]), int(found["WORLD_SIZE"]), int(found["LOCAL_RANK"]), int(found["LOCAL_WORLD_SIZE"])


def _device(local_rank: int, local_processes: int) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    gpus = torch.cuda.device_count()
    if local_processes > gpus:
        raise ValueError(
            f"found {gpus} GPU(s) for {local_processes} processes on this host, expected one each; "
            f"use at most {gpus} processes, or set CUDA_VISIBLE_DEVICES to nothing to compute on the CPU"
        )
    device = torch.device("cuda", local_rank)
    torch.cuda.set_device(device)
    return device


def _collective_device() -> torch.device:
    if dist.is_initialized() and "nccl" in dist.get_backend():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")
