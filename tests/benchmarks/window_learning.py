"""What shuffling within windows of tars does to learning: validation curves of a small VAE, by order and seed.

`python tests/benchmarks/window_learning.py` draws OpenMoji's emojis at 32 px and shards them twice: at once, so that a
tar is as good as a random sample (images lie in it by the hash of their pixels), and night by night from dark ones to
bright ones, so that a tar is as far from one as a pile can make it. The VAE sees them all together, and within windows.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import machine
import numpy as np
import torch

from components import distributed
from components.artifacts import Store
from components.config import ModelConfig
from components.data import DatasetConfig, FolderSource, OpenMojiSource, ShardReader, ShardSet, write_shards
from components.worker.jobs import TrainJob
from components.worker.train import train_to_the_end

SIZE, NIGHTS, SHARD_BYTES, LONG_AGO_S = 32, 8, 96 << 10, 1_000_000_000
HERE = distributed.World(rank=0, processes=1, local_rank=0, device=torch.device("cpu"))


def by_brightness(emojis: int) -> list[tuple[str, bytes]]:
    """Return pictures as PNG files, from dark to bright."""
    drawn = []
    for item in OpenMojiSource(limit=emojis, raster_px=SIZE).items():
        picture = cv2.imdecode(np.frombuffer(item.content, np.uint8), cv2.IMREAD_UNCHANGED).astype(np.float32)
        alpha = picture[..., 3:] / 255
        drawn.append((float((picture[..., :3] * alpha + 255 * (1 - alpha)).mean()), item.name, item.content))
    return [(name, content) for _, name, content in sorted(drawn)]


def versions(folder: Path, emojis: int) -> tuple[ShardSet, ShardSet]:
    """Return the same images sharded at once, and over nights that grew brighter."""
    pile = folder / "pile"
    pile.mkdir()
    dataset = DatasetConfig(source=FolderSource(path=pile), size=SIZE, shard_bytes=SHARD_BYTES)
    pictures = by_brightness(emojis)
    for part in np.array_split(np.arange(len(pictures)), NIGHTS):
        for name, content in (pictures[number] for number in part.tolist()):
            (pile / Path(name).with_suffix(".png").name).write_bytes(content)
            os.utime(pile / Path(name).with_suffix(".png").name, (LONG_AGO_S, LONG_AGO_S))
        grown = write_shards(dataset, Store(folder / "grown"))
    return write_shards(dataset, Store(folder / "at-once")), grown


def spread(shards: ShardSet) -> float:
    """Return how much of the variance of the images' brightness lies between tars."""
    reader = ShardReader(shards, "train")
    bright = reader.images(range(len(reader))).mean(axis=(1, 2, 3))
    means = np.array([bright[reader.places == tar].mean() for tar in reader.places])
    return float(means.var() / bright.var())


def curve(shards: ShardSet, window: int | None, seed: int, images: int, folder: Path) -> dict[int, float]:
    """Train, and return the validation error by images seen."""
    model = {
        "recipe": {"kind": "vae", "network": {"kind": "conv", "latent": 32, "width": 12}},
        "training": {
            "images": images,
            "batch": 32,
            "window": window,
            "validation": {"every": images // 8, "samples": 256},
        },
        "execution": {"log_every": images // 8, "sample_every": 10**9, "checkpoint_every": 10**9},
        "evaluation": {"kind": "generation"},
        "promotion": {"metric": "fd_efficientnet_lite0"},
    }
    folder.mkdir()
    job = TrainJob(
        run="curve",
        model=ModelConfig.model_validate(model),
        seed=seed,
        shards=shards.path,
        corruption=None,
        folder=folder,
        cache=folder.parent / "cache",
        tracking_run=None,
    )
    train_to_the_end(job, HERE, lambda: False)
    points = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
    return {
        point["images"]: point["validation/reconstruction_error"] for point in points if "validation/spread" in point
    }


def rows(curves: dict[str, Sequence[dict[int, float]]]) -> Iterator[str]:
    """Yield the table's lines: mean and standard deviation over seeds of the error, in hundredths of the range."""
    places = sorted(next(iter(curves.values()))[0])
    shown = places[1::2]
    yield "| order | " + " | ".join(f"at {place:,}" for place in shown) + " | worse than all together, paired |"
    yield "|---" * (len(shown) + 2) + "|"
    reference = next(iter(curves.values()))
    for name, found in curves.items():
        values = np.array([[100 * one[place] for place in shown] for one in found])
        last = places[-1]
        ends = np.array([100 * (one[last] - other[last]) for one, other in zip(found, reference, strict=True)])
        moments = zip(values.mean(0), values.std(0, ddof=1), strict=True)
        cells = [f"{mean:.2f} ± {deviation:.2f}" for mean, deviation in moments]
        yield f"| {name} | {' | '.join(cells)} | {ends.mean():+.3f} ± {ends.std(ddof=1):.3f} |"


def main() -> None:
    """Train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--emojis", type=int, default=2000)
    parser.add_argument("--images", type=int, default=16_000)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        at_once, grown = versions(folder, asked.emojis)
        orders = {
            "all together": (at_once, None),
            "windows of 4 tars, sharded at once": (at_once, 4),
            "windows of 4 tars, grown from dark to bright": (grown, 4),
            "windows of 16 tars, grown from dark to bright": (grown, 16),
        }
        for label, shards in (("at once", at_once), ("grown", grown)):
            facts = shards.splits["train"]
            share = f"{spread(shards):.0%} of the variance of brightness between tars"
            print(f"{label}: {facts.samples:,} images in {len(facts.shards)} tars, {share}", flush=True)
        curves: dict[str, list[dict[int, float]]] = {order: [] for order in orders}
        for seed in range(asked.seeds):
            for number, (order, (shards, window)) in enumerate(orders.items()):
                curves[order].append(curve(shards, window, seed, asked.images, folder / f"{seed}-{number}"))
        print("\n" + "\n".join(rows(curves)) + "\n")
        print(machine.in_a_line(machine.facts(), ("processor", "cores", "commit", "load_average", "at")))


if __name__ == "__main__":
    main()
