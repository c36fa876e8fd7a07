"""GANs at equal time of one core: each trained for so many minutes of it, judged by networks none was trained on.

`python tests/benchmarks/gan_learning.py IMAGES.zip FOLDER --minutes 6 --only as_it_was wide_discriminator` trains what
`gan_learning.yaml` says under these names, and torch-mimicry's step under `mimicry`, on images in folders by class; it
prints a row for each and leaves it, with a picture of the first 64 draws, in FOLDER. What is there is not done again.
As many images are trained on as a rate measured just before lets fit into the time; the minutes that it took are told.
"""

import argparse
import copy
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import nn
from training_peers import mimicry_loop

from components import distributed
from components.artifacts import Store
from components.config import ModelConfig
from components.data import DatasetConfig, Samples, ShardReader, ShardSet, Share, decoded_pixels, write_shards
from components.data.loader import Loader
from components.evaluation.extractors import EfficientNetLite0Config, EfficientNetLite2Config, FidelityConfig
from components.evaluation.fidelity import Fidelity
from components.launch import Stopped
from components.models.sngan_res import SnganDiscriminatorConfig, SnganGeneratorConfig
from components.pictures import figures
from components.pictures.encoding import png
from components.recipes.export import load_producer
from components.recipes.gan import GanConfig, GanProducer
from components.recipes.recipe import PRODUCER, Generator
from components.worker.jobs import TrainJob
from components.worker.train import train_to_the_end

HERE = Path(__file__)
PEER = "mimicry"
_AS_IT_WAS: dict[str, Any] = {
    "recipe": {
        "kind": "gan",
        "generator": {"kind": "dcgan", "latent": 100, "width": 24},
        "discriminator": {"kind": "dcgan", "width": 32},
        "loss": {"kind": "non_saturating", "r1": 0.2, "penalty_every": 8},
        "augmentation": {"colour": False},
        **{
            name: {"kind": "adam", "rate": 1e-3, "betas": [0.5, 0.99], "schedule": {"final_fraction": 0.1}}
            for name in ("optimizer", "discriminator_optimizer")
        },
    },
    "training": {"images": 160_000, "batch": 32, "ema": {"half_life_images": 6_000}, "validation": {"every": 16_000}},
    "execution": {"log_every": 4_000, "sample_every": 10**9, "checkpoint_every": 10**9},
    "evaluation": {"kind": "generation"},
    "promotion": {"metric": "fd_efficientnet_lite2"},
}
_SHOWN, _SAMPLES = 64, 5_000
_RATE_S = 8.0


def laid_over(below: Any, above: Any) -> Any:
    """Return a mapping with another laid over it; a section of another kind replaces what it covers."""
    if not isinstance(below, dict) or not isinstance(above, dict) or above.get("kind") not in {None, below.get("kind")}:
        return above
    return {key: laid_over(below.get(key), above[key]) if key in above else below[key] for key in {**below, **above}}


def trained(options: dict[str, Any], shards: ShardSet, folder: Path, images: int, seed: int, limit_s: float) -> float:
    """Train for so many images, or until the process has spent so many seconds; return the seconds it has spent."""
    model = laid_over(_AS_IT_WAS, options)
    model["training"]["images"] = images // model["training"]["batch"] * model["training"]["batch"]
    folder.mkdir(parents=True, exist_ok=True)
    cache = folder.parent / "cache"
    job = TrainJob(
        run=folder.name,
        model=ModelConfig.model_validate(model),
        seed=seed,
        shards=shards.path,
        corruption=None,
        folder=folder,
        cache=cache,
        tracking_run=None,
    )
    decoded_pixels(shards, "train", cache, 2**30)
    begun = time.process_time()
    world = distributed.World(rank=0, processes=1, local_rank=0, device=torch.device("cpu"))
    with suppress(Stopped):
        train_to_the_end(job, world, lambda: time.process_time() - begun > limit_s)
    return time.process_time() - begun


def rate_of(options: dict[str, Any], shards: ShardSet, folder: Path) -> float:
    """Return the images that a second of the core is enough for."""
    probe = laid_over(options, {"training": {"validation": None}, "execution": {"log_every": 32}})
    trained(probe, shards, folder, 10**9, 1, _RATE_S)
    points = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
    warm = [one for one in points if "images_per_s" in one][8:]
    return float(np.median([one["images_per_s"] / max(one["system/busy_cores"], 1e-3) for one in warm]))


def peer(shards: ShardSet, folder: Path, limit_s: float, seed: int) -> tuple[Generator, int, float]:
    """Train torch-mimicry's networks of SNGAN by its step; return their producer, images seen and seconds spent."""
    torch.manual_seed(seed)
    config = GanConfig(generator=SnganGeneratorConfig(), discriminator=SnganDiscriminatorConfig())
    networks = config.build(shards.size, seed).networks.to(memory_format=torch.channels_last)
    reader = ShardReader(shards, "train")
    samples = Samples(decoded_pixels(shards, "train", folder / "cache", 2**30), reader.keys, shards.digest)
    seen, begun = [0], time.process_time()

    def real() -> Iterator[torch.Tensor]:
        for batch in Loader(samples, Share(64, 0, 1), seed=seed, flip=True).batches(0):
            if time.process_time() - begun > limit_s:
                return
            seen[0] += 64
            yield batch.images.contiguous(memory_format=torch.channels_last)

    mimicry_loop(networks[PRODUCER], networks["discriminator"], real(), 128, 5)
    network: nn.Module = networks[PRODUCER]
    return GanProducer(network, 128, 1.0), seen[0], time.process_time() - begun


def judged(producer: Generator, shards: ShardSet, cache: Path, seed: int, picture: Path) -> dict[str, Any]:
    """Return each score with its interval, by both networks, and draw the first pictures."""
    reader = ShardReader(shards, "test")
    test = reader.images(np.arange(len(reader)))
    made = producer.generate(min(_SAMPLES, 2 * len(test)), seed)
    picture.write_bytes(png(figures.grid(made[:_SHOWN], columns=16), smallest=True))
    scores: dict[str, Any] = {}
    for extractor in (EfficientNetLite2Config(), EfficientNetLite0Config()):
        judge = Fidelity(test, FidelityConfig(extractor=extractor), f"{shards.digest}/test", seed, cache=cache)
        scores |= {one.name: (one.value, one.low, one.high) for one in judge.scores(made)}
    return scores


def row(
    name: str, options: dict[str, Any], shards: ShardSet, folder: Path, minutes: float, seed: int
) -> dict[str, Any]:
    """Train and judge one."""
    if name == PEER:
        producer, images, spent_s = peer(shards, folder, 60 * minutes, seed)
    else:
        rate = rate_of(options, shards, folder / f"{name}-rate")
        images = int(60 * minutes * rate)
        spent_s = trained(options, shards, folder / f"{name}-{seed}-{images}", images, seed, float("inf"))
        found = load_producer(folder / f"{name}-{seed}-{images}" / "export")
        assert isinstance(found, Generator)
        producer = found
    facts = {"name": name, "seed": seed, "images": images, "core minutes": spent_s / 60, "load": os.getloadavg()[0]}
    return facts | judged(producer, shards, folder / "cache", seed, folder / f"{name}-{seed}.png")


def once(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what is written at `path`, or write what is made."""
    if not path.is_file():
        path.write_text(json.dumps(make()))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, judge and print a row each."""
    variants: dict[str, dict[str, Any]] = yaml.safe_load(HERE.with_suffix(".yaml").read_text())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[17])
    parser.add_argument("--only", nargs="+", choices=[*variants, PEER], default=[*variants, PEER])
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    source = {"kind": "zip", "path": str(options.images), "labels": True}
    dataset = {"source": source, "size": 32, "split": {"validation": 0.02, "test": 0.1}}
    options.folder.mkdir(parents=True, exist_ok=True)
    shards = write_shards(DatasetConfig.model_validate(dataset), Store(options.folder / "store"))
    for seed in options.seeds:
        for name in options.only:
            variant, path = copy.deepcopy(variants.get(name) or {}), options.folder / f"{name}-{seed}.json"
            found = once(path, lambda n=name, v=variant, s=seed: row(n, v, shards, options.folder, options.minutes, s))
            sys.stdout.write(json.dumps(found) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
