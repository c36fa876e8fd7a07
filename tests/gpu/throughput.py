"""Throughput: images/s of each network by the worker, eager, replayed and compiled, and of SNGAN's peers."""

import copy
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import captured
import torch
import trainings
from training_peers import mimicry_loop

from components.recipes.recipe import PRODUCER
from components.worker.jobs import TrainJob

_MODES: dict[str, dict[str, Any]] = {
    "eager": {"step": "eager"},
    "graph": {"step": "graph"},
    "graph, damage drawn by a thread": {"step": "graph", "drawing_processes": 0},
    "compiled graph": {"step": "graph", "compile": True},
}
_COMPILED = ("sngan", "dcgan")  # compiling the others would take the time of the rest
_MENDING = ("ffc",)


def measure(scale: trainings.Scale, folder: Path) -> list[dict[str, Any]]:
    """Return a row for each network and way of taking steps, and for each peer."""
    shards = trainings.drawn(scale, folder)
    names = ("dcgan",) if scale.small else tuple(trainings.MODELS)
    rows = _peers(scale)
    for name, mode in itertools.product(names, _MODES):
        if "compile" in _MODES[mode] and (scale.small or name not in _COMPILED):
            continue
        if "drawing_processes" in _MODES[mode] and name not in _MENDING:
            continue
        budget = 1.0 if scale.small else 8.0
        job = trainings.job_of(
            name, scale, shards, folder / f"{name} {mode}", 10**9, time_budget_s=budget, **_MODES[mode]
        )
        begun = time.monotonic()
        curve = trainings.train(job, scale.device)
        seconds = time.monotonic() - begun
        rows.append({"model": name, "way": mode, **_rates(curve), "seconds in all": seconds, **_averaged(job, scale)})
        if scale.device.type == "cuda":
            rows[-1]["peak memory, GB"] = torch.cuda.max_memory_allocated() / 1e9
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.empty_cache()
    return rows


def _rates(curve: list[dict[str, float]]) -> dict[str, float]:
    """Return the rates between reports, the first left out: it holds warm-up and compiling."""
    rates = [point["images_per_s"] for point in curve[1:]] or [point["images_per_s"] for point in curve]
    waits = [point["system/data_wait"] for point in curve[1:] or curve]
    return {"images/s": median(rates), "least": min(rates), "greatest": max(rates), "data wait": median(waits)}


def _averaged(job: TrainJob, scale: trainings.Scale) -> dict[str, float]:
    """Return what several cards would average in a step: the gradients of the phases, the rarer ones in part."""
    with torch.device("meta"):
        phases = job.model.recipe.build(scale.size, trainings.SEED).phases
    size = sum(parameter.nbytes / phase.every for phase in phases for parameter in phase.trained)
    return {"batch": job.model.training.batch, "averaged a step, MB": size / 1e6}


def _peers(scale: trainings.Scale) -> list[dict[str, Any]]:
    """Return what SNGAN's networks reach by torch-mimicry's documented step, and by the bare loop."""
    model = scale.model("sngan", 1000, {})
    device, batch, steps = scale.device, model.training.batch, model.recipe.discriminator_steps
    networks = model.recipe.build(scale.size, trainings.SEED).networks.to(device)
    latent = model.recipe.generator.latent
    real = [torch.rand(batch, 3, scale.size, scale.size, device=device) * 2 - 1 for _ in range(steps)]
    noise = [torch.randn(batch, latent, device=device) for _ in range(steps + 1)]
    found: dict[str, float] = {}

    def take(way: str, step: Callable[[], None]) -> None:
        found[way] = captured.rate(step, steps * batch, 0.2 if scale.small else 6.0, device)

    theirs = copy.deepcopy(networks)
    torch.set_default_device(device)  # the peer draws its noise where its networks are
    take(
        "torch-mimicry's step, fp32",
        lambda: mimicry_loop(theirs[PRODUCER], theirs["discriminator"], real, latent, steps),
    )
    torch.set_default_device("cpu")
    bare = captured.bare_step(networks[PRODUCER], networks["discriminator"], real, noise)
    take("bare loop", bare)
    if device.type == "cuda":
        take("bare loop, captured", captured.captured(bare))
        for network in networks.values():
            network.compile()
        bare = captured.bare_step(networks[PRODUCER], networks["discriminator"], real, noise)
        take("bare loop, compiled and captured", captured.captured(bare))
    return [{"model": "sngan", "way": way, "images/s": value} for way, value in found.items()]
