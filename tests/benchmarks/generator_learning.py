"""GANs and VAEs at equal time of one core, judged by networks none was trained on.

`python tests/benchmarks/generator_learning.py IMAGES.zip FOLDER --minutes 6 --only as_it_was wide_discriminator`
trains what `generator_learning.yaml` says under these names, and torch-mimicry's step under `mimicry`, on images in
folders by class, or on the quickstart's emoji where IMAGES.zip is `openmoji`; it prints a row for each and leaves it,
with a picture of the first 64 draws, in FOLDER. What is there is not done again. As many images are trained on as a
rate measured just before lets fit into the time; the minutes that it took are told.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
import yaml
from equal_time import laid_over, of_length, once, rate_of, trained
from torch import nn
from training_peers import mimicry_loop

from components.artifacts import Store
from components.data import DatasetConfig, Samples, ShardReader, ShardSet, Share, decoded_pixels, write_shards
from components.data.loader import Loader
from components.evaluation.extractors import (
    EfficientNetLite0Config,
    EfficientNetLite2Config,
    ExtractorConfig,
    FidelityConfig,
)
from components.evaluation.fidelity import Fidelity
from components.models.sngan_res import SnganDiscriminatorConfig, SnganGeneratorConfig
from components.pictures import figures
from components.pictures.encoding import png
from components.recipes.export import load_producer
from components.recipes.gan import GanConfig, GanProducer
from components.recipes.recipe import PRODUCER, Generator

HERE = Path(__file__)
PEER = "mimicry"
OPENMOJI = Path("openmoji")
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
    "evaluation": {"kind": "generation", "fidelity": {"extractor": {"kind": "efficientnet_lite2"}}},
    "promotion": {"metric": "fd_efficientnet_lite2"},
}
_SHOWN = 64


def model_of(options: dict[str, Any]) -> dict[str, Any]:
    """Return the section of a model: what is compared, over the GAN as it was."""
    return cast("dict[str, Any]", laid_over(_AS_IT_WAS, options))


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


class Look(NamedTuple):
    """How closely pictures are looked at."""

    samples: int
    judges: tuple[ExtractorConfig, ...]


def judged(producer: Generator, shards: ShardSet, folder: Path, name: str, seed: int, look: Look) -> dict[str, Any]:
    """Return each score with its interval, and draw the first pictures into `folder`."""
    reader = ShardReader(shards, "test")
    test = reader.images(np.arange(len(reader)))
    made = producer.generate(min(look.samples, 2 * len(test)), seed)
    (folder / f"{name}-{seed}.png").write_bytes(png(figures.grid(made[:_SHOWN], columns=16), smallest=True))
    scores: dict[str, Any] = {}
    for extractor in look.judges:
        judge = Fidelity(
            test, FidelityConfig(extractor=extractor), f"{shards.digest}/test", seed, cache=folder / "cache"
        )
        scores |= {one.name: (one.value, one.low, one.high) for one in judge.scores(made)}
    return scores


def row(
    name: str, options: dict[str, Any], shards: ShardSet, folder: Path, minutes: float, seed: int, look: Look
) -> dict[str, Any]:
    """Train and judge one."""
    if name == PEER:
        producer, images, spent_s = peer(shards, folder, 60 * minutes, seed)
    else:
        model = model_of(options)
        images = int(60 * minutes * rate_of(model, shards, folder / f"{name}-rate"))
        spent_s = trained(of_length(model, images), shards, folder / f"{name}-{seed}-{images}", seed)
        found = load_producer(folder / f"{name}-{seed}-{images}" / "export")
        assert isinstance(found, Generator)
        producer = found
    facts = {"name": name, "seed": seed, "images": images, "core minutes": spent_s / 60, "load": os.getloadavg()[0]}
    return facts | judged(producer, shards, folder, name, seed, look)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, judge and print a row each."""
    variants: dict[str, dict[str, Any]] = yaml.safe_load(HERE.with_suffix(".yaml").read_text())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--samples", type=int, default=5_000)
    parser.add_argument("--quick", action="store_true", help="judge by EfficientNet-Lite2 alone")
    parser.add_argument("--seeds", type=int, nargs="+", default=[17])
    parser.add_argument("--only", nargs="+", choices=[*variants, PEER], default=[*variants, PEER])
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    judges = (EfficientNetLite2Config(), *(() if options.quick else (EfficientNetLite0Config(),)))
    look = Look(options.samples, judges)
    source = (
        {"kind": "openmoji"}
        if options.images == OPENMOJI
        else {"kind": "zip", "path": str(options.images), "labels": True}
    )
    dataset = {
        "source": source,
        "size": 32,
        "split": {"validation": 0.02, "test": 0.15 if options.images == OPENMOJI else 0.1},
    }
    options.folder.mkdir(parents=True, exist_ok=True)
    shards = write_shards(DatasetConfig.model_validate(dataset), Store(options.folder / "store"))
    for seed in options.seeds:
        for name in options.only:
            path = options.folder / f"{name}-{seed}.json"
            made = partial(row, name, variants.get(name) or {}, shards, options.folder, options.minutes, seed, look)
            found = once(path, made)
            sys.stdout.write(json.dumps(found) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
