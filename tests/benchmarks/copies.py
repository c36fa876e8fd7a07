"""How often copiers are refused and honest models are not, over real pictures: `python tests/benchmarks/copies.py`.

Every picture's distance to its nearest training image is measured once, as an evaluation does. Each of many rounds then
parts the images that are not trained on anew, into held-out ones and those that stand for what an honest model makes; a
copier makes the same, with a copy of a training image, altered in one of six ways, in one place of a hundred or twenty.
"""

import argparse
import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import binomtest

from components.artifacts import Store
from components.baselines.generation import Template
from components.data import DatasetConfig, ShardReader, write_shards
from components.evaluation.copies import SIGNIFICANCE, Finding, RealDistances, copies_score, judged
from components.evaluation.extractors import FidelityConfig
from components.evaluation.features import Extractor
from components.evaluation.neighbours import measured_neighbours, sketched
from components.evaluation.protocol import Protocol
from components.seeding import numpy_generator

SOURCES = {"openmoji": {"kind": "openmoji"}, "shapes": {"kind": "shapes", "images": 9_000}}
MADE = 1_400
LIKE = Protocol(metric="m", implementation="i", reference="training", samples=1)
Picture = NDArray[np.uint8]
Distances = NDArray[np.float32]


def _noisy(picture: Picture) -> Picture:
    noise = numpy_generator(1, "noise").normal(0, 4, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def _encoded(picture: Picture) -> Picture:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=90)
    return np.asarray(Image.open(file))


def _resized(picture: Picture) -> Picture:
    size = picture.shape[0]
    smaller = Image.fromarray(picture).resize((size * 3 // 4,) * 2, Image.Resampling.LANCZOS)
    return np.asarray(smaller.resize((size, size), Image.Resampling.BICUBIC))


ALTERATIONS: dict[str, Callable[[Picture], Picture]] = {
    "as they are": lambda picture: picture,
    "mirrored": lambda picture: picture[:, ::-1],
    "shifted by a pixel": lambda picture: np.roll(picture, (1, -1), axis=(0, 1)),
    "JPEG of quality 90": _encoded,
    "noise of 4 levels": _noisy,
    "to three quarters and back": _resized,
}


def measured(source: str, folder: Path) -> tuple[RealDistances, dict[str, Distances]]:
    """Return the distances of real images, and those of copies, by how they are altered, and of `template`."""
    split = {"validation": 0.0, "test": 0.4}
    config = DatasetConfig.model_validate({"source": SOURCES[source], "size": 32, "split": split})
    shards = write_shards(config, Store(folder))
    training, held = (
        reader.images(np.arange(len(reader))) for reader in (ShardReader(shards, name) for name in ("train", "test"))
    )
    extractor = Extractor(FidelityConfig())
    seen = extractor.see(held).features
    known = measured_neighbours(training, "train", (seen, sketched(held, slice(0, len(held)))), "test", extractor, None)
    assert known is not None
    chosen = training[numpy_generator(2, "copied").permutation(len(training))[:200]]
    copies = {how: np.stack([alter(picture) for picture in chosen]) for how, alter in ALTERATIONS.items()}
    copies["template"] = Template().generate(400, 32, training, 3)
    distances = {
        name: known.nearest(extractor.see(made).features, sketched(made, slice(0, len(made))))
        for name, made in copies.items()
    }
    return known.real, distances


def findings(real: RealDistances, copies: Distances, share: float, rounds: int) -> Iterator[Finding]:
    """Yield what is found in each round of a model that copies with a chance of `share`."""
    for number in range(rounds):
        generator = numpy_generator(number, "round")
        order = generator.permutation(len(real.held))
        count = min(MADE, len(order) // 2)
        made = real.held[order[:count]].copy()
        copied = generator.random(count) < share
        made[copied] = generator.choice(copies, int(copied.sum()))
        held = RealDistances(real.held[order[count:]], real.left_out)
        yield judged(copies_score(made, held, "near_copies", LIKE), SIGNIFICANCE)


def main() -> None:
    """Measure every source, and print a table of rates with 95 % intervals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--only", choices=SOURCES, nargs="*", default=list(SOURCES))
    arguments = parser.parse_args()
    for source in arguments.only:
        with tempfile.TemporaryDirectory() as folder:
            real, copies = measured(source, Path(folder))
        near, template = real.near, copies.pop("template")
        print(f"{source}: {len(real.both):,} real images, {(real.both < near).mean():.2%} nearer than {near:g}")
        for how, distances in copies.items():
            print(f"  copies {how}: {(distances < near).mean():.1%} nearer, median {np.median(distances):.3f}")
        print(f"  template: {(template < near).mean():.1%} nearer")
        everything = np.concatenate(list(copies.values()))
        cases = [("honest", everything, 0.0), ("1 % copies", everything, 0.01), ("5 % copies", everything, 0.05)]
        for name, pool, share in [*cases, ("template", template, 1.0)]:
            refused = sum(one.copies for one in findings(real, pool, share, arguments.rounds))
            low, high = binomtest(refused, arguments.rounds).proportion_ci(0.95, "exact")
            print(f"  {name}: refused in {refused:,} of {arguments.rounds:,} rounds ({low:.2%} to {high:.2%})")


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
