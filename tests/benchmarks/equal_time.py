"""Trainings of equal time of one core: how many images that is, and the training itself."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from components import distributed
from components.artifacts import Store
from components.config import CorruptionConfig, ModelConfig
from components.data import ShardSet, decoded_pixels
from components.data.statistics import pixel_statistics
from components.launch import Stopped
from components.worker.jobs import TrainJob
from components.worker.train import train_to_the_end

_RATE_S = 8.0


def laid_over(below: Any, above: Any) -> Any:
    """Return a mapping with another laid over it; a section of another kind replaces what it covers."""
    if not isinstance(below, dict) or not isinstance(above, dict) or above.get("kind") not in {None, below.get("kind")}:
        return above
    return {key: laid_over(below.get(key), above[key]) if key in above else below[key] for key in {**below, **above}}


def trained(
    model: dict[str, Any],
    shards: ShardSet,
    folder: Path,
    seed: int,
    *,
    corruption: CorruptionConfig | None = None,
    store: Store | None = None,
    limit_s: float = float("inf"),
) -> float:
    """Train a section `models.NAME` to its end, or for so many seconds of the processor; return those it spent.

    Args:
        model: The section.
        shards: What to train on.
        folder: Where the training's files grow; decoded images are kept beside it.
        seed: Of the run.
        corruption: What befalls images, for those that mend.
        store: Where statistics of pixels are kept, for those that are told them.
        limit_s: Seconds of the processor.
    """
    config = ModelConfig.model_validate(model)
    folder.mkdir(parents=True, exist_ok=True)
    cache = folder.parent / "cache"
    tells = config.recipe.needs_statistics and store is not None
    job = TrainJob(
        run=folder.name,
        model=config,
        seed=seed,
        shards=shards.path,
        corruption=corruption,
        folder=folder,
        cache=cache,
        statistics=pixel_statistics(shards, store).path if tells and store else None,
        tracking_run=None,
    )
    decoded_pixels(shards, "train", cache, 2**30)
    begun = time.process_time()
    world = distributed.World(rank=0, processes=1, local_rank=0, device=torch.device("cpu"))
    with suppress(Stopped):
        train_to_the_end(job, world, lambda: time.process_time() - begun > limit_s)
    return time.process_time() - begun


def of_length(model: dict[str, Any], images: int) -> dict[str, Any]:
    """Return the section with so many images to train on, or the whole batches among them."""
    batch = model["training"]["batch"]
    return cast("dict[str, Any]", laid_over(model, {"training": {"images": images // batch * batch}}))


def rate_of(
    model: dict[str, Any],
    shards: ShardSet,
    folder: Path,
    *,
    corruption: CorruptionConfig | None = None,
    store: Store | None = None,
) -> float:
    """Return the images that a second of the core is enough for, from some seconds of training."""
    probe = laid_over(
        model,
        {
            "training": {"validation": None, "ema": {"beside": []}},
            "execution": {"log_every": model["training"]["batch"]},
        },
    )
    trained(of_length(probe, 10**9), shards, folder, 1, corruption=corruption, store=store, limit_s=_RATE_S)
    points = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
    warm = [one for one in points if "images_per_s" in one][8:]
    return float(np.median([one["images_per_s"] / max(one["system/busy_cores"], 1e-3) for one in warm]))


def once(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what is written at `path`, or write what is made."""
    if not path.is_file():
        path.write_text(json.dumps(make()))
    found: dict[str, Any] = json.loads(path.read_text())
    return found
