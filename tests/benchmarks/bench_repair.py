"""Mending a photo of 20 megapixels, beside the strategies that IOPaint documents, all with the quickstart's network.

`python tests/benchmarks/bench_repair.py ours|original|crop|resize dust|scratches` mends once, in a process of its own,
and says what that took, memory too.
"""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import repair_peers as peers
import torch
from harness import Effort, Figure, Peer, Timed

from components.models.resnet import ResnetConfig
from components.recipes.inpainter import InpainterConfig
from components.recipes.recipe import PRODUCER, Restorer
from components.recipes.repair import repair

SIZE = (3648, 5472)
WAYS: dict[str, Callable[[Restorer, np.ndarray, np.ndarray], np.ndarray]] = {
    "ours": repair, "crop": peers.crop, "resize": peers.resize, "original": peers.original,
}  # fmt: skip


def network() -> Restorer:
    """Return the quickstart's inpainter, untrained, whose last layer does something."""
    config = InpainterConfig(network=ResnetConfig())
    producing = config.build(32, 1).networks[PRODUCER]
    torch.nn.init.normal_(producing.last.weight, std=0.02, generator=torch.Generator().manual_seed(0))
    return config.producer(producing)


def photo(size: tuple[int, int]) -> np.ndarray:
    """Return something smooth with grain, of (height, width)."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (size[0] // 40, size[1] // 40, 3), np.uint8)
    smooth = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
    grain = rng.normal(0, 4, (*size, 1)).astype(np.int16)
    return (smooth + grain).clip(0, 255).astype(np.uint8)


def dust(size: tuple[int, int]) -> np.ndarray:
    """Return forty specks of 3 to 12 px, as on a scanned slide."""
    rng = np.random.default_rng(3)
    mask = np.zeros(size, np.uint8)
    for _ in range(40):
        x, y = rng.integers(0, size[::-1])
        cv2.circle(mask, (int(x), int(y)), int(rng.integers(3, 13)), 1, -1)
    return mask > 0


def scratches(size: tuple[int, int]) -> np.ndarray:
    """Return six scratches of 9 px across the photo and a hole of a fifth of its height."""
    rng = np.random.default_rng(2)
    mask = np.zeros(size, np.uint8)
    for _ in range(6):
        start, end = rng.integers(0, size[::-1], (2, 2)).tolist()
        cv2.line(mask, start, end, 1, 9)
    cv2.circle(mask, (size[1] // 3, size[0] // 2), size[0] // 10, 1, -1)
    return mask > 0


MASKS = {"dust": dust, "scratches": scratches}


def figures(effort: Effort, folder: Path) -> Iterator[Figure]:
    """Yield a figure for each mask; `--quick` takes a smaller photo."""
    size = (SIZE[0], SIZE[1]) if effort.scale == 1 else (912, 1368)
    filler, image = network(), photo(size)
    for name, made in MASKS.items():
        missing = made(size)

        def equal(missing: np.ndarray = missing) -> str:
            for way in WAYS.values():
                assert not np.array_equal(way(filler, image, missing)[missing], image[missing])
            known = repair(filler, image, missing)[~missing]
            assert np.array_equal(known, image[~missing])
            return "all fill the same pixels; ours leaves the others to the byte"

        timed = [
            Timed(way, 1, lambda run=run, missing=missing: run(filler, image, missing)) for way, run in WAYS.items()
        ]
        yield Figure(
            f"{size[0] * size[1] / 1e6:.0f} MP, {name}", "photos", timed[0], [Peer(one) for one in timed[1:]], equal
        )


def once(way: str, mask: str) -> None:
    """Mend once, and print processor and wall time and by how much memory grew."""
    filler, image, missing = network(), photo(SIZE), MASKS[mask](SIZE)
    filler.restore(image[None, :512, :512], missing[None, :512, :512])
    Path("/proc/self/clear_refs").write_text("5")  # the greatest memory is counted from here (proc(5))
    before, cpu, wall = _kib("VmRSS"), time.process_time(), time.perf_counter()
    WAYS[way](filler, image, missing)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    grown = (_kib("VmHWM") - before) / 1024
    print(f"{mask} {way}: {cpu:.1f} s of processor, {wall:.1f} s by the clock, at most {grown:.0f} MiB more")


def _kib(fact: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{fact}:"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    once(*sys.argv[1:])
