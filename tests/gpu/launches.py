"""Launches: where the time of a step goes, and whether anything waits for the card between reports."""

import time
from pathlib import Path
from typing import Any

import torch
import trainings
from torch.profiler import ProfilerActivity, profile

from components.corruption import CorruptionMix
from components.data import HeldLoader, Loader, Samples, ShardReader, Share, decoded_pixels
from components.recipes.recipe import PRODUCER
from components.training.guard import Guard
from components.training.replay import step_for
from components.training.state import TrainingState

_STEPS = 20
_LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel", "cudaGraphLaunch")


def measure(scale: trainings.Scale, folder: Path) -> list[dict[str, Any]]:
    """Return of each network and way: ms a step, the share that the card was busy, launches, and waits."""
    shards = trainings.drawn(scale, folder)
    names = ("dcgan",) if scale.small else tuple(trainings.MODELS)
    return [_of(name, mode, scale, shards, folder) for name in names for mode in ("eager", "graph")]


def _of(name: str, mode: Any, scale: trainings.Scale, shards: Any, folder: Path) -> dict[str, Any]:
    model, device = scale.model(name, 10**6, {}), scale.device
    training = model.training.model_copy(update={"channels_last": model.recipe.channels_last_on_gpu})
    recipe = model.recipe.resolved(shards.splits["train"]).build(scale.size, trainings.SEED)
    recipe.networks.to(device)
    if training.channels_last:
        recipe.networks.to(memory_format=torch.channels_last)
    state = TrainingState.start(recipe.networks, recipe.phases, [PRODUCER], training.ema, Guard(training.guard))
    step = step_for(mode, recipe.phases, state, training, device)
    samples = Samples(
        decoded_pixels(shards, "train", folder / "cache", 2**32), ShardReader(shards, "train").keys, shards.digest
    )
    share = Share(training.batch)
    loader: Loader | HeldLoader
    if model.recipe.needs_corruption:
        loader = Loader(samples, share, seed=1, corruption=CorruptionMix())
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

    seen = some(12, 0)  # every combination of phases is captured
    _wait(device)
    begun = time.monotonic()
    seen = some(_STEPS, seen)
    _wait(device)
    row = {"model": name, "way": mode, "ms a step": 1000 * (time.monotonic() - begun) / _STEPS}
    if device.type == "cuda":
        row |= _profiled(lambda: some(_STEPS, seen), row["ms a step"])
        row["waits"] = _waits(lambda: some(_STEPS, seen + _STEPS * training.batch))
    batches.close()
    return row


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _profiled(steps: Any, step_ms: float) -> dict[str, float]:
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
        steps()
        torch.cuda.synchronize()
    events = found.key_averages()
    busy_ms = sum(event.self_device_time_total for event in events) / 1000 / _STEPS
    launches = sum(event.count for event in events if event.key in _LAUNCHES)
    return {"busy ms": busy_ms, "busy share": busy_ms / step_ms, "launches a step": launches / _STEPS}


def _waits(steps: Any) -> str:
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
