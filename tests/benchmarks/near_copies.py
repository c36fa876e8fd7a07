"""How many altered copies of real pictures are found, and what else is taken for one: `near_copies.py ZIP...`.

Every way of telling is given the same pictures: copies altered as people and programs alter them, beside their
originals, and all pairs of different pictures. `--others` also counts what is near among drawn pictures, which have
few shapes.
"""

import argparse
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from components.data.check import Picture as Checked
from components.data.check import examine
from components.data.sources import OpenMojiSource, ShapesSource, Source
from components.evaluation.extractors import FidelityConfig
from components.evaluation.features import Extractor
from components.quality.copies import grouped
from components.quality.facts import measured
from components.quality.fingerprints import Fingerprints, areas_apart, fingerprints
from components.quality.pairs import APART, REACH_BITS, near_pairs
from components.seeding import numpy_generator

Pictures = NDArray[np.uint8]
Distances = NDArray[np.float64]
Way = Callable[[Pictures], NDArray[np.float32]]
COPIED, ROWS, SEED = 1_000, 500, 17


def resized(picture: Pictures, side: int) -> Pictures:
    shrinks = side < picture.shape[0]
    return np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC))


def encoded(picture: Pictures, quality: int) -> Pictures:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1))


def cropped(picture: Pictures, share: float, generator: np.random.Generator) -> Pictures:
    side = picture.shape[0]
    kept = round(side * share)
    top, left = generator.integers(0, side - kept + 1, 2)
    return resized(picture[top : top + kept, left : left + kept], side)


def lit(picture: Pictures, factor: float) -> Pictures:
    return np.clip(picture * factor, 0, 255).astype(np.uint8)


ALTERED: dict[str, Callable[[Pictures, np.random.Generator], Pictures]] = {
    "to half and back": lambda one, _: resized(resized(one, one.shape[0] // 2), one.shape[0]),
    "to double and back": lambda one, _: resized(resized(one, one.shape[0] * 2), one.shape[0]),
    "JPEG 95": lambda one, _: encoded(one, 95),
    "JPEG 75": lambda one, _: encoded(one, 75),
    "JPEG 50": lambda one, _: encoded(one, 50),
    "mirrored": lambda one, _: np.ascontiguousarray(one[:, ::-1]),
    "30 % brighter": lambda one, _: lit(one, 1.3),
    "30 % darker": lambda one, _: lit(one, 0.7),
    "small, mirrored, brighter, JPEG 75": lambda one, _: encoded(
        np.ascontiguousarray(lit(resized(resized(one, one.shape[0] * 3 // 4), one.shape[0]), 1.15)[:, ::-1]), 75
    ),
    "90 % of each side": lambda one, generator: cropped(one, 0.9, generator),
    "75 % of each side": lambda one, generator: cropped(one, 0.75, generator),
}


def bits_apart(one: Fingerprints, other: Fingerprints) -> Distances:
    """Bits by which the hashes of all pairs differ, the nearer way round."""
    upright, mirrored = (np.bitwise_count(own[:, None] ^ other.hashes[None]) for own in (one.hashes, one.mirrored))
    return np.minimum(upright, mirrored).astype(float)


def all_areas_apart(one: Fingerprints, other: Fingerprints) -> Distances:
    rows = [areas_apart(np.repeat(own[None], len(other.areas), axis=0), other.areas) for own in one.areas]
    return np.stack(rows)


def both(one: Fingerprints, other: Fingerprints) -> Distances:
    """As `near_pairs` tells: 0 near, 1 not."""
    bits = bits_apart(one, other)
    found = np.ones_like(bits)
    for row, place in np.argwhere(bits <= REACH_BITS):
        found[row, place] = areas_apart(one.areas[row : row + 1], other.areas[place : place + 1])[0] > APART
    return found


def ways() -> Iterator[tuple[str, float, Callable[[Fingerprints, Fingerprints], Distances]]]:
    """Yield names, thresholds and distances of all pairs."""
    for bits in (4, 8, 10, 12):
        yield f"hash, at most {bits} bits", bits, bits_apart
    for apart in (0.2, 0.3, 0.4):
        yield f"colours of areas, at most {apart}", apart, all_areas_apart
    yield f"**hash {REACH_BITS} and colours {APART}**", 0.5, both


def pictures_of(path: Path, count: int) -> Pictures:
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg")))
        chosen = numpy_generator(SEED, "pictures").permutation(len(names))[:count]
        contents = [archive.read(names[number]) for number in chosen]
    return np.stack([cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR_RGB) for one in contents])


def features_of(pictures: Pictures, extractor: Extractor) -> NDArray[np.float32]:
    seen = extractor.see(pictures).features.numpy()
    return np.asarray(seen / np.linalg.norm(seen, axis=1, keepdims=True))


def table(pictures: Pictures, *, brief: bool) -> Iterator[str]:
    """Yield the lines of a table: of each way, or of the last alone, what it finds and what it takes for a copy."""
    generator = numpy_generator(SEED, "altered")
    copies = {how: np.stack([alter(one, generator) for one in pictures[:COPIED]]) for how, alter in ALTERED.items()}
    yield "| told by | " + " | ".join(ALTERED) + " | wrong pairs in a million | pictures with one |"
    yield "|---" * (len(ALTERED) + 3) + "|"
    known = fingerprints(pictures)
    seen = {how: fingerprints(some) for how, some in copies.items()}
    few = Fingerprints(*(part[:ROWS] for part in known))
    for name, most, apart in list(ways())[-1:] if brief else ways():
        found = [
            np.mean([apart(_row(prints, n), _row(known, n))[0, 0] <= most for n in range(COPIED)])
            for prints in seen.values()
        ]
        yield _line(name, found, apart(few, known) <= most)
    if brief:
        return
    extractor = Extractor(FidelityConfig())
    some = features_of(pictures[: 2 * ROWS], extractor)
    of_copies = {how: features_of(made[: ROWS // 2], extractor) for how, made in copies.items()}
    for most in (0.3, 0.4, 0.5):
        found = [np.mean(np.linalg.norm(own - some[: len(own)], axis=1) <= most) for own in of_copies.values()]
        products = 2 - 2 * some[:ROWS] @ some.T
        yield _line(f"EfficientNet's features, at most {most}", found, np.sqrt(np.maximum(products, 0)) <= most)


def _row(prints: Fingerprints, number: int) -> Fingerprints:
    return Fingerprints(*(part[number : number + 1] for part in prints))


def _line(name: str, found: list[np.floating], near: NDArray[np.bool_]) -> str:
    near = near.copy()
    near[np.arange(len(near)), np.arange(len(near))] = False
    wrong = f"{1e6 * near.sum() / near.size:.2f} | {near.any(axis=1).mean():.1%}"
    return f"| {name} | {' | '.join(f'{share:.1%}' for share in found)} | {wrong} |"


def drawn(source: Source, size: int) -> Pictures:
    items = (examine(item.content, size, "crop", 50_000_000) for item in source.for_size(size).items())
    return np.stack([np.asarray(one.image) for one in items if isinstance(one, Checked)])


def groups_of(name: str, pictures: Pictures) -> str:
    """Say how many groups there are, and how long it took."""
    start = time.process_time()
    prints = fingerprints(pictures)
    seen_s = time.process_time() - start
    measured(pictures[:1_000])
    facts_s = (time.process_time() - start - seen_s) * len(pictures) / min(1_000, len(pictures))
    start = time.process_time()
    groups = grouped(near_pairs(prints), len(pictures))
    sizes = np.bincount(groups[groups >= 0])
    return (
        f"| {name} | {len(pictures):,} | {len(sizes):,} | {int(sizes.sum()):,} | {int(sizes.max(initial=0))} | "
        f"{facts_s:.1f} | {time.process_time() - start:.1f} |"
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archives", nargs="+", type=Path)
    parser.add_argument("--pictures", type=int, default=5_000)
    parser.add_argument("--others", action="store_true")
    parser.add_argument("--brief", action="store_true")
    arguments = parser.parse_args()
    for archive in arguments.archives:
        print(f"\n{archive.name}, {arguments.pictures:,} pictures\n")
        for line in table(pictures_of(archive, arguments.pictures), brief=arguments.brief):
            print(line, flush=True)
    print("\n| pictures | number | groups | in groups | largest | facts, CPU s | groups, CPU s |")
    print("|---|---|---|---|---|---|---|")
    for archive in arguments.archives:
        print(groups_of(archive.name, pictures_of(archive, 1_000_000)), flush=True)
    if arguments.others:
        print(groups_of("OpenMoji, 32 px", drawn(OpenMojiSource(), 32)), flush=True)
        print(groups_of("drawn shapes, 32 px", drawn(ShapesSource(images=5_000), 32)), flush=True)


if __name__ == "__main__":
    main()
