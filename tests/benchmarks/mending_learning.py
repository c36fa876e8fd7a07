"""Inpainters at equal time of one core, judged beside fills: `mending_learning.py CONFIG IMAGES FOLDER --minutes 10`.

Each name of `mending_learning.yaml` is laid over the one inpainter of CONFIG and trained on IMAGES, a zip or a folder,
for so many minutes of a core. Hole PSNR on the frozen set of CONFIG, and by area what is won over the best classical
fill of that area, is printed; at 32 px also on four masks as in arXiv 2511.21215, whose own figures are of one
channel and lie 4.77 dB lower. What is in FOLDER already is not done again; the exported models stay there.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from equal_time import laid_over, of_length, once, rate_of, trained

from components.artifacts import Store
from components.baselines.biharmonic import Biharmonic
from components.baselines.filling import NavierStokes, Telea
from components.baselines.gaussian import TrainingGaussian
from components.baselines.harmonic import Harmonic
from components.config import RunConfig, load
from components.corruption import CorruptionMix
from components.corruption.strokes import StrokesConfig
from components.data import ShardSet, write_shards
from components.data.frozen import FrozenImages, read_corruption_set, write_corruption_set
from components.data.statistics import pixel_statistics
from components.evaluation.intervals import bootstrap_means
from components.evaluation.restoration import MSE_FLOOR
from components.recipes.export import load_producer
from components.recipes.recipe import Restorer

HERE = Path(__file__)
SEED = 17
CLASSICAL = (Harmonic(), Biharmonic(), Telea(), NavierStokes())


def settings(config: Path, images: Path) -> tuple[RunConfig, dict[str, Any]]:
    """Return the run of a configuration with its images elsewhere, and the section of its one inpainter."""
    kind = "zip" if images.is_file() else "folder"
    run = load(config, [f"dataset.source={{kind: {kind}, path: {images}}}"])
    [model] = [one for one in run.models.values() if one.recipe.kind == "inpainter"]
    return run, model.model_dump(mode="json")


def decibels(mended: np.ndarray, truth: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Return the hole PSNR of each picture."""
    squared = ((mended / 255.0 - truth / 255.0) ** 2).mean(axis=3)
    errors = [one[hole].mean() for one, hole in zip(squared, missing, strict=True)]
    return -10 * np.log10(np.maximum(errors, MSE_FLOOR))


def four_masks(images: np.ndarray, keys: Sequence[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return shown pictures of 32 px and where they miss pixels, by the name of the mask."""
    holes = {name: np.zeros(images.shape[:3], dtype=bool) for name in ("centre 16 × 16", "box 8 to 20", "right half")}
    holes["centre 16 × 16"][:, 8:24, 8:24] = True
    holes["right half"][:, :, 16:] = True
    rng = np.random.default_rng(SEED)
    for hole in holes["box 8 to 20"]:
        height, width = rng.integers(8, 21, 2)
        top, left = rng.integers(0, 33 - height), rng.integers(0, 33 - width)
        hole[top : top + height, left : left + width] = True
    strokes = CorruptionMix(masks=(StrokesConfig(style="medium"),), area=(0.1, 0.4))
    holes["strokes"] = strokes.corrupt_batch(images, list(keys), [0] * len(keys), SEED)[1]
    return {name: (np.where(hole[..., None], np.uint8(127), images), hole) for name, hole in holes.items()}


def mended(way: Any, shown: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Return pictures mended by a fill or by a model, a hundred at a time."""
    places = range(0, len(shown), 100)
    return np.concatenate([way.restore(shown[i : i + 100], missing[i : i + 100]) for i in places])


class Judge:
    """Judges what mends pictures on one frozen set, and by the four masks."""

    def __init__(self, run: RunConfig, shards: ShardSet, store: Store, folder: Path) -> None:
        corruption = run.corruption
        assert corruption is not None
        frozen = read_corruption_set(write_corruption_set(shards, corruption.frozen, corruption.mix, run.seed, store))
        self.parts = {"all": (frozen.images, frozen.corrupted, frozen.missing)}
        self.areas = self._areas(frozen, corruption.frozen.bins)
        if shards.size == 32:
            masks = four_masks(frozen.images, frozen.keys)
            self.parts |= {name: (frozen.images, *both) for name, both in masks.items()}
        self.fills = once(folder / "fills.json", lambda: self._fills(shards, store))

    def _areas(self, frozen: FrozenImages, bins: Sequence[float]) -> dict[str, np.ndarray]:
        share = frozen.missing.mean(axis=(1, 2))
        return {f"{low:g}-{high:g}": (share > low) & (share <= high) for low, high in pairwise(bins)}

    def _fills(self, shards: ShardSet, store: Store) -> dict[str, Any]:
        gaussian = TrainingGaussian().knowing(pixel_statistics(shards, store).arrays())
        return {way.kind: self.decibels(way) for way in (*CLASSICAL, gaussian)}

    def decibels(self, way: Any) -> dict[str, list[float]]:
        """Return the hole PSNR of each picture, by part."""
        return {
            part: decibels(mended(way, shown, missing), truth, missing).tolist()
            for part, (truth, shown, missing) in self.parts.items()
        }

    def gains(self, found: dict[str, list[float]]) -> dict[str, Any]:
        """Return mean, interval, and what is won over the classical fill that is best in the mean, by part and area."""
        result: dict[str, Any] = {}
        chosen = {part: np.ones(len(found[part]), bool) for part in self.parts}
        for name, where in {**chosen, **self.areas}.items():
            part = name if name in self.parts else "all"
            fills = {one.kind: np.array(self.fills[one.kind][part])[where] for one in CLASSICAL}
            best = max(fills, key=lambda kind: float(fills[kind].mean()))
            values = np.array(found[part])[where]
            low, high = bootstrap_means((values - fills[best])[:, None], SEED)
            result[name] = {
                "psnr": values.mean(),
                "best": best,
                "over": (values - fills[best]).mean(),
                "low": low[0],
                "high": high[0],
            }
        return result


def row(
    name: str, model: dict[str, Any], minutes: float, seed: int, run: RunConfig, judge: Judge, folder: Path
) -> dict[str, Any]:
    """Train and judge one."""
    store = Store(folder / "store")
    shards = write_shards(run.dataset, store)
    images = int(60 * minutes * rate_of(model, shards, folder / f"{name}-rate", corruption=run.corruption, store=store))
    where = folder / f"{name}-{seed}-{images}"
    spent_s = trained(of_length(model, images), shards, where, seed, corruption=run.corruption, store=store)
    producer = load_producer(where / "export")
    assert isinstance(producer, Restorer)
    facts = {"name": name, "seed": seed, "images": images, "core minutes": spent_s / 60, "load": os.getloadavg()[0]}
    return facts | {"scores": judge.gains(judge.decibels(producer))}


def told(found: dict[str, Any]) -> str:
    """Return a row of a table."""
    scores = found["scores"]
    words = [
        f"{name}: {one['psnr']:.2f} ({one['over']:+.2f}, {one['low']:+.2f} to {one['high']:+.2f}, over {one['best']})"
        for name, one in sorted(scores.items(), key=lambda pair: (pair[0] != "all", pair[0]))
    ]
    head = ", ".join(f"{key} {value:g}" if key != "name" else value for key, value in found.items() if key != "scores")
    return f"| {head} | " + " | ".join(words) + " |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, judge and print a row each."""
    variants: dict[str, dict[str, Any]] = yaml.safe_load(HERE.with_suffix(".yaml").read_text())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[SEED])
    parser.add_argument("--only", nargs="+", choices=[*variants], default=["as_it_is"])
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    run, section = settings(options.config, options.images)
    store = Store(options.folder / "store")
    judge = Judge(run, write_shards(run.dataset, store), store, options.folder)
    for fill, found in judge.fills.items():
        sys.stdout.write(told({"name": fill, "scores": judge.gains(found)}) + "\n")
    for seed in options.seeds:
        for name in options.only:
            path = options.folder / f"{name}-{seed}-{options.minutes:g}.json"
            made = partial(
                row, name, laid_over(section, variants[name] or {}), options.minutes, seed, run, judge, options.folder
            )
            found = once(path, made)
            sys.stdout.write(told(found) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
