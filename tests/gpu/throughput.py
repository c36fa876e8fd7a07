"""Throughput: images/s of each network by the worker, eager, replayed and compiled, and of SNGAN's peers."""

import copy
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import captured
import torch
import trainings
from training_peers import mimicry_loop
from trainings import Piece

from components.recipes.recipe import PRODUCER
from components.worker.jobs import TrainJob

_MODES: dict[str, dict[str, Any]] = {
    "eager": {"step": "eager"},
    "graph": {"step": "graph"},
    "graph, damage drawn by a thread": {"step": "graph", "drawing_processes": 0},
    "compiled graph": {"step": "graph", "compile": True},
}
_MENDING = ("ffc",)
_WARM = 20  # steps before the clock starts, at most: of every kind that is captured
_SECONDS = 2.5


def pieces(scale: trainings.Scale, folder: Path) -> Iterator[Piece]:
    """Yield a row for each network and way of taking steps, and for each peer."""
    shards = trainings.drawn(scale, folder)
    yield from _peers(scale)
    for name, mode in itertools.product(("dcgan",) if scale.small else trainings.MODELS, _MODES):
        if "drawing_processes" in _MODES[mode] and name not in _MENDING:
            continue
        if not ("compile" in _MODES[mode] and scale.small):
            job = trainings.job_of(name, scale, shards, folder / f"{name} {mode}", 10**9, **_options(name, mode, scale))
            yield Piece({"model": name, "way": mode}, lambda j=job: _of(j, scale))


def _options(name: str, mode: str, scale: trainings.Scale) -> dict[str, Any]:
    """Return how steps are taken; eager ones are reported more often, as they are slower."""
    if scale.small or mode != "eager":
        return _MODES[mode]
    steps = max(1, trainings.REPORT_STEPS[name] // 8)
    return {**_MODES[mode], "log_every": steps * trainings.MODELS[name]["batch"]}


def _of(job: TrainJob, scale: trainings.Scale) -> dict[str, Any]:
    if scale.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    begun = time.monotonic()
    warm_up = min(_WARM, 2 * trainings.REPORT_STEPS[job.run])
    curve = trainings.train(job, scale.device, 1.0 if scale.small else _SECONDS, after=warm_up)
    seconds = time.monotonic() - begun
    warm = [point for point in curve if point["images"] > (warm_up + 1) * job.model.training.batch][1:]
    row = {**_rates(warm or curve), "seconds in all": seconds, **_averaged(job, scale)}
    if scale.device.type == "cuda":
        row["peak memory, GB"] = torch.cuda.max_memory_allocated() / 1e9
    return row


def _rates(curve: list[dict[str, float]]) -> dict[str, float]:
    rates = [point["images_per_s"] for point in curve]
    waits = [point["system/data_wait"] for point in curve]
    return {
        "images/s": median(rates),
        "least": min(rates),
        "greatest": max(rates),
        "reports": len(rates),
        "data wait": median(waits),
    }


def _averaged(job: TrainJob, scale: trainings.Scale) -> dict[str, float]:
    """Return what several cards would average in a step: the gradients of the phases, the rarer ones in part."""
    with torch.device("meta"):
        phases = job.model.recipe.build(scale.size, trainings.SEED).phases
    size = sum(parameter.nbytes / phase.every for phase in phases for parameter in phase.trained)
    return {"batch": job.model.training.batch, "averaged a step, MB": size / 1e6}


def _peers(scale: trainings.Scale) -> Iterator[Piece]:
    """Yield what SNGAN's networks reach by torch-mimicry's documented step, and by the bare loop."""
    model = scale.model("sngan", 1000, {})
    device, batch, steps = scale.device, model.training.batch, model.recipe.discriminator_steps
    networks = model.recipe.build(scale.size, trainings.SEED).networks.to(device)
    latent = model.recipe.generator.latent
    real = [torch.rand(batch, 3, scale.size, scale.size, device=device) * 2 - 1 for _ in range(steps)]
    noise = [torch.randn(batch, latent, device=device) for _ in range(steps + 1)]
    theirs = copy.deepcopy(networks)

    def rate(step: Callable[[], None]) -> dict[str, Any]:
        return {"images/s": captured.rate(step, steps * batch, 0.2 if scale.small else _SECONDS, device)}

    def mimicry() -> dict[str, Any]:
        torch.set_default_device(device)  # the peer draws its noise where its networks are
        try:
            return rate(lambda: mimicry_loop(theirs[PRODUCER], theirs["discriminator"], real, latent, steps))
        finally:
            torch.set_default_device("cpu")

    def bare(*, compiled: bool) -> Callable[[], None]:
        if compiled:
            for network in networks.values():
                network.compile()
        return captured.bare_step(networks[PRODUCER], networks["discriminator"], real, noise)

    yield Piece({"model": "sngan", "way": "torch-mimicry's step, fp32"}, mimicry)
    yield Piece({"model": "sngan", "way": "bare loop"}, lambda: rate(bare(compiled=False)))
    if device.type == "cuda":
        way = "bare loop, captured"
        yield Piece({"model": "sngan", "way": way}, lambda: rate(captured.captured(bare(compiled=False))))
        way = "bare loop, compiled and captured"
        yield Piece({"model": "sngan", "way": way}, lambda: rate(captured.captured(bare(compiled=True))))
