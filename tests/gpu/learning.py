"""Learning: a GAN for equal time by our steps and by torch-mimicry's; and how fast its pictures are scored."""

import time
from pathlib import Path
from typing import Any

import torch
import trainings
from safetensors.torch import load_file
from training_peers import mimicry_loop

from components.data import ShardSet, decoded_pixels
from components.evaluation.evidence import Evidence
from components.evaluation.generation import GenerationEvaluation
from components.pictures.pixels import to_tensor
from components.recipes.recipe import PRODUCER

_METRIC = "fd_efficientnet_lite0"


def measure(scale: trainings.Scale, folder: Path) -> list[dict[str, Any]]:
    """Return images seen, score and the seconds that scoring took, of ours and of the peer."""
    shards = trainings.drawn(scale, folder)
    seconds = 0.5 if scale.small else 40.0
    ours = trainings.job_of(
        "sngan", scale, shards, folder / "ours", 10**9, step="graph", time_budget_s=seconds, compile=not scale.small
    )
    begun = time.monotonic()
    curve = trainings.train(ours, scale.device)
    spent = time.monotonic() - begun  # compiling counts: the peer gets as long
    seen = int(curve[-1]["images"]) if curve else 0
    producer = _resumed(ours, scale)
    theirs, images = _by_the_peer(scale, shards, folder, spent)
    ways = {"ours": (producer, seen), "torch-mimicry's step": (theirs, images)}
    return [
        {"way": way, "images": trained, "seconds": spent, **_scored(made_by, shards, scale, folder)}
        for way, (made_by, trained) in ways.items()
    ]


def _resumed(job: Any, scale: trainings.Scale) -> Any:
    """Return the average of the generator that a stopped training has kept."""
    newest = max((job.folder / "checkpoints").iterdir())
    tensors = load_file(newest / "state.safetensors")
    prefix = f"average/{PRODUCER}/"
    network = job.model.recipe.serving_network(scale.size)
    network.load_state_dict({key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)})
    return job.model.recipe.producer(network.to(scale.device))


def _by_the_peer(scale: trainings.Scale, shards: ShardSet, folder: Path, seconds: float) -> tuple[Any, int]:
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
    return model.recipe.producer(networks[PRODUCER]), seen


def _scored(producer: Any, shards: ShardSet, scale: trainings.Scale, folder: Path) -> dict[str, float]:
    """Return the distance of made pictures from held-out ones, and how long making and scoring them took."""
    samples = 16 if scale.small else 10_000
    evidence = Evidence(
        shards=shards,
        training=decoded_pixels(shards, "train", folder / "cache", 2**32),
        frozen=None,
        frozen_digest="",
        bins=(),
        seed=1,
        device=scale.device,
        cache=folder / "cache",
        images=None,
    )
    begun = time.monotonic()
    measured = GenerationEvaluation(samples=samples).measure(producer, evidence)
    score = next(one for one in next(iter(measured.rows.values())) if one.name == _METRIC)
    return {_METRIC: score.value, "images scored": samples, "seconds to score": time.monotonic() - begun}
