"""How often drift of new images is seen, and how often it is seen where there is none: `drift.py CIFAR.zip`.

Nights of 500 new images beside 1,000 that were learnt from, both drawn anew from a pool of real ones. Clean nights are
left as they are; on others half of the new images are damaged by one kind at one severity, as CIFAR-10-C has them
(`components/corruption`). All of a night but for decoding is what `kintsugi` does.
"""

import argparse
import time
import zipfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from components.corruption.registry import DegradationConfig
from components.evaluation.features import Extractor
from components.evaluation.shift import SIGNIFICANCE, Looks, shift_of
from components.quality.facts import measured
from components.section import kinds
from components.seeding import numpy_generator
from components.stages.shift import IMAGES, KNOWN_IMAGES, LOOKING, looks_of

Pictures = NDArray[np.uint8]
SEED = 17


def pool_of(path: Path, count: int) -> tuple[Pictures, list[str]]:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")]
        chosen = [names[number] for number in numpy_generator(SEED, "pool").permutation(len(names))[:count]]
        pictures = [cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_COLOR_RGB) for name in chosen]
    return np.stack(pictures), [name.split("/")[1] for name in chosen]


def seen(pictures: Pictures, classes: list[str], network: Extractor) -> Looks:
    return looks_of(network.see(pictures).features.numpy(), measured(pictures), classes)


def some(looks: Looks, places: NDArray[np.int64]) -> Looks:
    facts = {name: values[places] for name, values in looks.facts.items()}
    return Looks(looks.features[places], facts, tuple(looks.classes[place] for place in places))


def joined(one: Looks, other: Looks) -> Looks:
    facts = {name: np.concatenate([values, other.facts[name]]) for name, values in one.facts.items()}
    return Looks(np.concatenate([one.features, other.features]), facts, one.classes + other.classes)


def rate(name: str, looks: Looks, damaged: Looks | None, nights: int) -> str:
    """Say in how many nights drift was seen, with 95 % limits; as a whole alone, too."""
    seen = whole = 0
    for night in range(nights):
        generator = numpy_generator(SEED, "night", name, night)
        order = generator.permutation(len(looks.features))
        known = some(looks, order[IMAGES : IMAGES + KNOWN_IMAGES])
        new = some(looks, order[:IMAGES])
        if damaged is not None:  # of which there are fewer, numbered as the first of the pool
            bad = generator.permutation(len(damaged.features))[: IMAGES // 2]
            rest = order[~np.isin(order, bad)]
            new = joined(some(damaged, bad), some(looks, rest[: IMAGES // 2]))
            known = some(looks, rest[IMAGES // 2 : IMAGES // 2 + KNOWN_IMAGES])
        shift = shift_of(new, known, generator)
        seen += shift.verdict == "drifted"
        whole += shift.chance is not None and shift.chance <= SIGNIFICANCE
    low, high = binomtest(seen, nights).proportion_ci(0.95, "exact")
    return f"| {name} | {nights:,} | {seen / nights:.1%} | {low:.1%} to {high:.1%} | {whole / nights:.1%} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--clean", type=int, default=1_000)
    parser.add_argument("--nights", type=int, default=100)
    parser.add_argument("--pool", type=int, default=6_000, help="pictures that nights are drawn from")
    parser.add_argument("--kinds", nargs="*", help="kinds of damage; all if left out")
    parser.add_argument("--severities", type=int, nargs="*", default=[1, 2])
    arguments = parser.parse_args()
    pictures, classes = pool_of(arguments.archive, arguments.pool)
    network = Extractor(LOOKING)
    start = time.process_time()
    seen(pictures[:IMAGES], classes[:IMAGES], network)
    seen_s = time.process_time() - start
    looks = seen(pictures, classes, network)
    start = time.process_time()
    numbers = np.arange(IMAGES + KNOWN_IMAGES)
    shift_of(some(looks, numbers[:IMAGES]), some(looks, numbers[IMAGES:]), numpy_generator(1, "time"))
    tested_s = time.process_time() - start
    print(f"{IMAGES} new images: seen in {seen_s:.1f} s, compared in {tested_s:.1f} s of one core\n")
    print("| new images | nights | drift seen | 95 % | as a whole |\n|---|---|---|---|---|")
    if arguments.clean:
        print(rate("as those learnt from", looks, None, arguments.clean), flush=True)
    for severity in arguments.severities:
        for kind in kinds(DegradationConfig):
            damage = kind(severity=severity)
            if arguments.kinds is not None and damage.kind not in arguments.kinds:
                continue
            generator = numpy_generator(SEED, "damage", severity)
            bad = np.stack([damage.degrade(one, generator).image for one in pictures[: 2 * IMAGES]])
            damaged = seen(bad, classes[: 2 * IMAGES], network)
            print(rate(f"half with {damage.kind} of severity {severity}", looks, damaged, arguments.nights), flush=True)


if __name__ == "__main__":
    main()
