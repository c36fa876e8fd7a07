"""Learning: a GAN for equal time by our steps and by torch-mimicry's."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import trainings
from safetensors.torch import load_file
from scoring import METRIC, scored
from training_peers import mimicry_loop
from trainings import Piece

from components.data import ShardSet, decoded_pixels
from components.pictures.pixels import to_tensor
from components.recipes.recipe import PRODUCER

_SECONDS = 12.0


def pieces(scale: trainings.Scale, folder: Path) -> Iterator[Piece]:
    """Yield images seen, score and the seconds spent, of ours and of the peer; ours are compiled when they begin."""
    shards = trainings.drawn(scale, folder)
    spent: dict[str, float] = {}
    yield Piece({"way": "ours"}, lambda: _ours(scale, shards, folder, spent))
    yield Piece({"way": "torch-mimicry's step"}, lambda: _by_the_peer(scale, shards, folder, spent["ours"]))


def _ours(scale: trainings.Scale, shards: ShardSet, folder: Path, spent: dict[str, float]) -> dict[str, Any]:
    """Train from start to export; what preparing takes counts, and the peer gets as long."""
    job = trainings.job_of("sngan", scale, shards, folder / "ours", 10**9, step="graph", compile=not scale.small)
    begun = time.monotonic()
    curve = trainings.train(job, scale.device, 0.5 if scale.small else _SECONDS)
    spent["ours"] = time.monotonic() - begun
    score = scored(_resumed(job, scale), shards, scale, folder, METRIC)
    return {"images": int(curve[-1]["images"]) if curve else 0, "trained for, s": spent["ours"], **score}


def _resumed(job: Any, scale: trainings.Scale) -> Any:
    """Return the average of the generator that a stopped training has kept."""
    newest = max((job.folder / "checkpoints").iterdir())
    tensors = load_file(newest / "state.safetensors")
    prefix = f"average/{PRODUCER}/"
    network = job.model.recipe.serving_network(scale.size)
    network.load_state_dict({key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)})
    return job.model.recipe.producer(network.to(scale.device))


def _by_the_peer(scale: trainings.Scale, shards: ShardSet, folder: Path, seconds: float) -> dict[str, Any]:
    model = scale.model("sngan", 1000, {})
    networks = model.recipe.build(scale.size, trainings.SEED).networks.to(scale.device)
    pixels = decoded_pixels(shards, "train", folder / "cache", 2**32)
    images = to_tensor(pixels.take(range(len(pixels))), scale.device)
    batch, seen, begun = model.training.batch, 0, time.monotonic()

    def batches() -> Any:
        nonlocal seen
        while time.monotonic() - begun < seconds:
            seen += batch
            yield images[torch.randint(len(images), (batch,), device=scale.device)].contiguous()

    torch.set_default_device(scale.device)
    steps, latent = model.recipe.discriminator_steps, model.recipe.generator.latent
    mimicry_loop(networks[PRODUCER], networks["discriminator"], batches(), latent, steps)
    torch.set_default_device("cpu")
    spent = time.monotonic() - begun
    score = scored(model.recipe.producer(networks[PRODUCER]), shards, scale, folder, METRIC)
    return {"images": seen, "trained for, s": spent, **score}
