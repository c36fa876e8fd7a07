"""Photographs of 512 px mended by a trained inpainter and by what needs no training: `photos.py EXPORT FOLDER`.

Each photograph of FOLDER (PNG, 512 x 512 px; parts of one are named PHOTO.PART.png) gets thick masks, each over 5 to
50 % of it. EXPORT is mended by `repair`, as `kintsugi repair` does. Hole PSNR, and how far mended pictures are from
true ones as EfficientNet-Lite2 sees them, with 95 % intervals over photographs.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from mending_learning import decibels
from PIL import Image

from components.baselines.biharmonic import Biharmonic
from components.baselines.filling import NavierStokes, Telea
from components.baselines.harmonic import Harmonic
from components.corruption import CorruptionMix
from components.corruption.strokes import StrokesConfig
from components.evaluation.extractors import EfficientNetLite2Config, FidelityConfig
from components.evaluation.features import Extractor
from components.evaluation.gaussian import Normal, frechet_distance
from components.evaluation.intervals import bootstrap_means
from components.recipes.export import load_producer
from components.recipes.repair import repair

MIX = CorruptionMix(masks=(StrokesConfig(style="thick"),), area=(0.05, 0.5))
SEED = 17
SEEN_PX = 260
"""What EfficientNet-Lite2 was trained at."""
Way = Callable[[np.ndarray, np.ndarray], np.ndarray]


def photographs(folder: Path) -> tuple[list[str], np.ndarray]:
    """Return names of the photographs and their pixels; several may be parts of one."""
    files = sorted(folder.glob("*.png"))
    pictures = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    if not files or any(one.shape != (512, 512, 3) for one in pictures):
        raise SystemExit(f"{folder}: expected PNG files of 512 x 512 pixels")
    return [file.name.partition(".")[0] for file in files], np.stack(pictures)


def ways(export: Path, reaches: list[float]) -> Iterator[tuple[str, Way]]:
    """Yield what mends one picture, by name; None trained first."""
    for section in (Harmonic(), Biharmonic(), Telea(), NavierStokes()):
        yield section.kind, lambda image, hole, by=section: by.restore(image[None], hole[None])[0]
    producer = load_producer(export)
    yield "ours, in one piece", lambda image, hole: producer.restore(image[None], hole[None])[0]
    for reach in reaches or [producer.reach_px]:
        yield f"ours, by repair, reach {reach:g}", lambda i, h, reach=reach: repair(producer, i, h, reach)


def by_photograph(values: np.ndarray, names: list[str]) -> str:
    """Return the mean of the photographs' means, each with all its masks and parts, and its interval."""
    means = np.array(
        [np.mean([v for v, n in zip(values, names, strict=True) if n == name]) for name in sorted({*names})]
    )
    low, high = bootstrap_means(means[:, None], SEED)
    return f"{means.mean():.2f} ({low[0]:.2f} to {high[0]:.2f})"


def sheet(folder: Path, columns: dict[str, np.ndarray]) -> None:
    """Write pictures in rows, one column a way, of every fourth mended picture."""
    shown = range(0, len(columns["truth"]), 4)
    rows = [np.concatenate([cv2.resize(column[i], (256, 256)) for column in columns.values()], 1) for i in shown]
    Image.fromarray(np.concatenate(rows)).save(folder)


def main() -> None:
    """Print one row of a table for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("export", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--reach", type=float, nargs="*", default=[], help="trust the network so far (px), each in turn"
    )
    parser.add_argument("--masks", type=int, default=2, help="of each photograph")
    parser.add_argument("--sheet", type=Path, help="write pictures to look at")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    names, truth = photographs(asked.folder)
    names, truth = names * asked.masks, np.concatenate([truth] * asked.masks)
    keys = [f"{name}/{place}" for place, name in enumerate(names)]
    shown, missing = MIX.corrupt_batch(truth, keys, [0] * len(keys), SEED)
    eye = Extractor(FidelityConfig(extractor=EfficientNetLite2Config(resolution=SEEN_PX), batch=8))
    true = eye.see(truth)
    print(f"{len({*names})} photographs, {len(names)} mended pictures, {missing.mean():.1%} missing")
    print(
        "| | hole PSNR, dB | over harmonic | lite2, to its truth | fd lite2 | s a picture |\n|---|---|---|---|---|---|"
    )
    columns, reference = {"truth": truth, "shown": shown}, None
    for name, way in ways(asked.export, asked.reach):
        before = time.process_time()
        columns[name] = mended = np.stack([way(image, hole) for image, hole in zip(shown, missing, strict=True)])
        spent = (time.process_time() - before) / len(names)
        found, seen = decibels(mended, truth, missing), eye.see(mended)
        reference = found if name == "harmonic" else reference
        gain = "" if reference is None else by_photograph(found - reference, names)
        apart = (seen.features - true.features).norm(dim=1).numpy()
        distance = frechet_distance(Normal.of(seen.features), Normal.of(true.features))
        print(
            f"| {name} | {by_photograph(found, names)} | {gain} | {by_photograph(apart, names)} | {distance:.0f} "
            f"| {spent:.2f} |",
            flush=True,
        )
    if asked.sheet:
        sheet(asked.sheet, columns)


if __name__ == "__main__":
    main()
