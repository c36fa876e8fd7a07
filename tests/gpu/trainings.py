"""The trainings that the parts run, by the product's own worker: at full scale on a card, tiny in the rehearsal."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from components import distributed
from components.artifacts import Store
from components.config import CorruptionConfig, ModelConfig
from components.corruption import CorruptionMix
from components.data import DatasetConfig, ShapesSource, ShardSet, write_shards
from components.launch import Stopped
from components.worker.jobs import TrainJob
from components.worker.train import train_to_the_end

SEED = 5
_HINGE = {"loss": {"kind": "hinge"}, "discriminator_steps": 5, "augmentation": False}
_STEADY = {"kind": "adam", "betas": [0.0, 0.9]}
MODELS: dict[str, dict[str, Any]] = {
    "sngan": {
        "recipe": {
            "kind": "gan",
            "generator": {"kind": "sngan_res", "latent": 128, "width": 256},
            "discriminator": {"kind": "sngan_res", "width": 128},
            "optimizer": _STEADY,
            "discriminator_optimizer": _STEADY,
            **_HINGE,
        },
        "batch": 64,
    },
    "dcgan": {
        "recipe": {
            "kind": "gan",
            "generator": {"kind": "dcgan", "width": 64},
            "discriminator": {"kind": "dcgan", "width": 64},
        },
        "batch": 64,
    },
    "residual vae": {
        "recipe": {"kind": "vae", "network": {"kind": "residual", "latent": 128, "map_px": 8, "width": 64}},
        "batch": 128,
    },
    "ffc": {
        "recipe": {
            "kind": "inpainter",
            "network": {"kind": "ffc", "width": 32, "blocks": 6},
            "adversary": {"discriminator": {"width": 32, "layers": 2}},
        },
        "batch": 64,
    },
    "flow": {"recipe": {"kind": "flow_matching"}, "batch": 128},
    "r3net": {
        "recipe": {
            "kind": "gan",
            "generator": {"kind": "r3net", "latent": 64, "width": 384},
            "discriminator": {"kind": "r3net", "width": 384},
            "loss": {"kind": "relativistic"},
            "augmentation": False,
        },
        "batch": 512,
    },
}
"""What the goals are stated for, at 32 px, and the newest family; last what takes longest."""


REPORT_STEPS = {"sngan": 128, "dcgan": 256, "residual vae": 64, "ffc": 32, "r3net": 2, "flow": 64}
"""Steps between reports: some tenths of a second, since reading values is to wait for the card."""


@dataclass(frozen=True)
class Piece:
    """A row of a table, still to be measured."""

    named: dict[str, Any]
    """What stands first in it."""
    measure: Callable[[], dict[str, Any]]


@dataclass(frozen=True)
class Scale:
    """How much is done."""

    small: bool
    """Whether this is the rehearsal."""

    @property
    def size(self) -> int:
        """Pixels per side."""
        return 16 if self.small else 32

    @property
    def device(self) -> torch.device:
        """Where it is done."""
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")

    def model(self, name: str, images: int, execution: dict[str, Any]) -> ModelConfig:
        """Return a model's configuration, in bfloat16 on a card; in the rehearsal as narrow as it may be."""
        recipe, batch = MODELS[name]["recipe"], MODELS[name]["batch"]
        if self.small:
            recipe, batch = _narrow(recipe), 8
        mends = recipe["kind"] == "inpainter"
        training = {"images": images, "batch": batch, "precision": "fp32" if self.small else "bf16"}
        log_every = batch if self.small else REPORT_STEPS[name] * batch
        return ModelConfig.model_validate(
            {
                "recipe": recipe,
                "training": training,
                "execution": {"log_every": log_every, "sample_every": 10**9, "checkpoint_every": 10**9} | execution,
                "evaluation": {"kind": "restoration" if mends else "generation"},
                "promotion": {"metric": "psnr_hole" if mends else "fd_efficientnet_lite0"},
            }
        )


def _narrow(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe with all its networks narrow."""
    sizes = {"width": 8, "blocks": 1, "latent": 16, "map_px": 4}
    small = {key: _narrow(value) if isinstance(value, dict) else value for key, value in recipe.items()}
    return {key: min(value, sizes.get(key, value)) if isinstance(value, int) else value for key, value in small.items()}


def drawn(scale: Scale, folder: Path) -> ShardSet:
    """Return the data of all parts, drawn shapes, which lie beside the part's folder: whoever asks first draws them."""
    images = 160 if scale.small else 12_500
    dataset = DatasetConfig(source=ShapesSource(images=images, raster_px=scale.size), size=scale.size)
    return write_shards(dataset, Store(folder.parent / "store"))


def job_of(name: str, scale: Scale, shards: ShardSet, folder: Path, images: int, **execution: object) -> TrainJob:
    """Return the training of a model for so many images, in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    return TrainJob(
        run=name,
        model=scale.model(name, images, execution),
        seed=SEED,
        shards=shards.path,
        corruption=CorruptionConfig(mix=CorruptionMix()),
        folder=folder,
        cache=folder.parent / "cache",
        tracking_run=None,
    )


def train(
    job: TrainJob, device: torch.device, seconds: float | None = None, *, after: int = 0
) -> list[dict[str, float]]:
    """Train to the end, or for so many seconds from a step on, and return what was reported.

    Args:
        job: Of a folder of its own.
        device: Where it trains.
        seconds: None: to the end.
        after: Number of the step from which they count, so that what is done once comes before.
    """
    steps, ends = 0, float("inf")

    def should_stop() -> bool:
        nonlocal steps, ends
        if steps == after and seconds is not None:
            ends = time.monotonic() + seconds
        steps += 1
        return time.monotonic() > ends

    world = distributed.World(rank=0, processes=1, local_rank=0, device=device)
    with suppress(Stopped):
        train_to_the_end(job, world, should_stop)
    curve = job.folder / "curve.jsonl"
    return [json.loads(line) for line in curve.read_text().splitlines()] if curve.is_file() else []
