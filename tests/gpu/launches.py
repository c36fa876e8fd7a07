"""Launches: where the time of a step goes, and whether anything waits for the card between reports."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import trainings
from torch.profiler import ProfilerActivity, profile
from trainings import Piece

from components.corruption import CorruptionMix
from components.data import HeldLoader, Loader, Samples, ShardReader, ShardSet, Share, decoded_pixels
from components.recipes.recipe import PRODUCER
from components.training.guard import Guard
from components.training.replay import step_for
from components.training.state import TrainingState
from components.worker.train import drawing_processes

_STEPS = 20
_LISTED, _SHOWN = 12, 60
_LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel", "cudaGraphLaunch")


def pieces(scale: trainings.Scale, folder: Path) -> Iterator[Piece]:
    """Yield of each network and way: ms a step, the share that the card was busy, launches, waits, longest kernels."""
    shards = trainings.drawn(scale, folder)
    for name in ("dcgan",) if scale.small else trainings.MODELS:
        for way in ("graph", "compiled graph"):
            if not (scale.small and "compiled" in way):
                yield Piece({"model": name, "way": way}, lambda n=name, w=way: _of(n, w, scale, shards, folder))


def _of(name: str, way: str, scale: trainings.Scale, shards: ShardSet, folder: Path) -> dict[str, Any]:
    model, device = scale.model(name, 10**6, {}), scale.device
    training = model.training.model_copy(update={"channels_last": model.recipe.channels_last_on_gpu})
    recipe = model.recipe.resolved(shards.splits["train"]).build(scale.size, trainings.SEED)
    recipe.networks.to(device)
    if training.channels_last:
        recipe.networks.to(memory_format=torch.channels_last)
    state = TrainingState.start(recipe.networks, recipe.phases, [PRODUCER], training.ema, Guard(training.guard))
    if "compiled" in way:
        recipe.compile()
    step = step_for("graph", recipe.phases, state, training, device)
    samples = Samples(
        decoded_pixels(shards, "train", folder / "cache", 2**32), ShardReader(shards, "train").keys, shards.digest
    )
    share = Share(training.batch)
    loader: Loader | HeldLoader
    if model.recipe.needs_corruption:
        processes = drawing_processes(model.execution, device)
        loader = Loader(samples, share, seed=1, corruption=CorruptionMix(), processes=processes)
    else:
        loader = HeldLoader(samples, share, device, seed=1)
    batches = loader.batches(0)

    def some(count: int, images: int) -> int:
        for _ in range(count):
            step(next(batches), images)
            for average in state.averages.values():
                average.update(images + training.batch, training.batch)
            images += training.batch
        return images

    steps = min(_STEPS, 2 * trainings.REPORT_STEPS[name])
    seen = some(steps, 0)  # every combination of phases is captured
    _wait(device)
    begun = time.monotonic()
    seen = some(steps, seen)
    _wait(device)
    row: dict[str, Any] = {"ms a step": 1000 * (time.monotonic() - begun) / steps}
    if device.type == "cuda":
        row |= _profiled(lambda: some(steps, seen), steps, row["ms a step"])
        row["waits"] = _waits(lambda: some(steps, seen + steps * training.batch))
    batches.close()
    return row


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _profiled(take_steps: Callable[[], object], steps: int, step_ms: float) -> dict[str, Any]:
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
        take_steps()
        torch.cuda.synchronize()
    events = found.key_averages()
    busy_ms = {event.key: event.self_device_time_total / 1000 / steps for event in events}
    launches = sum(event.count for event in events if event.key in _LAUNCHES)
    longest = sorted(busy_ms, key=lambda key: busy_ms[key], reverse=True)[:_LISTED]
    return {
        "busy ms": sum(busy_ms.values()),
        "busy share": sum(busy_ms.values()) / step_ms,
        "launches a step": launches / steps,
        "longest kernels, ms": "; ".join(f"{key[:_SHOWN]} {busy_ms[key]:.2f}" for key in longest),
    }


def _waits(steps: Callable[[], object]) -> str:
    """Return what made the host wait for the card, or none."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        steps()
    except RuntimeError as error:
        return str(error).partition("\n")[0]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return "none"
