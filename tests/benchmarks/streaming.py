"""How fast images stream from an S3 store, beside a copy on this machine, and how often each tar is fetched.

`python tests/benchmarks/streaming.py` starts a SeaweedFS on this machine, puts JPEGs of 256 px there, prints a table:
passes of the loader over the same images in the same order from a whole copy, from a cache that holds all of the tars
(warm), and from one of two windows (each tar is fetched in each pass); rounds take turns.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

import cv2
import machine
import numpy as np
import pictures
from harness import Timed, Timing

from components.artifacts import Store
from components.artifacts.bucket import BucketStorage
from components.artifacts.streaming import HELD
from components.data import (
    Loader,
    Samples,
    ShardReader,
    ShardSet,
    Share,
    StreamedPixels,
)
from components.data.order import sample_order
from components.data.prefetch import prefetching
from components.data.windows import Windows
from components.servers.patience import patient_run

sys.path.insert(0, str(Path(__file__).parents[1] / "team"))
from seaweed import BUCKET, Seaweed

SIZE, BATCH, WINDOW, SHARD_BYTES, SEED = 256, 32, 10, 1 << 20, 17
VARIABLES = {
    "AWS_ACCESS_KEY_ID": "devadmin",
    "AWS_SECRET_ACCESS_KEY": "devadminsecret",
    "AWS_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}


@contextmanager
def bucket(folder: Path) -> Iterator[str]:
    """Yield the address of a prefix in a store of our own."""
    folder.mkdir()
    server = Seaweed(folder)
    try:
        server.start()
        os.environ.update(VARIABLES, AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{server.port}")
        yield f"s3://{BUCKET}/streaming"
    finally:
        server.stop()


class Fetches:
    """Counts what is fetched."""

    def __init__(self) -> None:
        self.tars, self._really = 0, BucketStorage.download_file
        BucketStorage.download_file = self._counted(self._really)

    def _counted(self, really: Callable[..., None]) -> Callable[..., None]:
        def download(storage: BucketStorage, key: str, path: Path, sha256: str | None = None) -> None:
            self.tars += key.endswith(".tar")
            really(storage, key, path, sha256)

        return download

    def taken(self) -> int:
        """Return how many tars were fetched since this was asked last."""
        tars, self.tars = self.tars, 0
        return tars


def samples_of(shards: ShardSet) -> Samples:
    """Return the images, decoded each time, shuffled within windows."""
    reader = ShardReader(shards, "train")
    return Samples(StreamedPixels(reader), reader.keys, shards.digest, None, Windows(reader.places, WINDOW))


def a_pass(shards: ShardSet, *, windowed: bool = True) -> Callable[[], None]:
    """Return what takes all batches of one pass."""
    samples = samples_of(shards) if windowed else replace(samples_of(shards), windows=None)
    loader = prefetching(Loader(samples, Share(BATCH), seed=SEED), samples, Share(BATCH), SEED)

    def work() -> None:
        with closing(loader.batches(0)) as batches:
            for _ in range(len(samples.pixels) // BATCH):
                next(batches)

    return work


def fetches_by_last_use(order: list[int], held: int) -> int:
    """Return how many fetches it takes to use tars in this order, with the last `held` ones kept."""
    there: dict[int, bool] = {}
    fetches = 0
    for tar in order:
        fetches += not there.pop(tar, False)
        there[tar] = True
        if len(there) > held:
            del there[next(iter(there))]
    return fetches


def foreseen(tars: int, images_of_each: int, held: int, window: int) -> tuple[int, int]:
    """Return the fetches of a pass in the order of all images together, and in that of windows, without a store."""
    places = np.repeat(np.arange(tars), images_of_each)
    together = places[sample_order(SEED, 0, "d", len(places))]
    windowed = places[Windows(places, window).of_pass(SEED, 0, "d").images(np.arange(len(places)))]
    return fetches_by_last_use(together.tolist(), held), fetches_by_last_use(windowed.tolist(), held)


def rows(times: dict[str, list[Timing]], fetches: dict[str, list[int]], images: int) -> Iterator[str]:
    """Yield the table's lines: speed, and what it is of the whole copy's in the same round."""
    yield "| read from | images/s, wall | of the whole copy | images/s of CPU time | of the whole copy | tars fetched |"
    yield "|---|---|---|---|---|---|"
    whole = times["whole copy"]
    for name, taken in times.items():
        cells = []
        for clock in ("wall_s", "cpu_s"):
            speeds = [images / getattr(one, clock) for one in taken]
            ratios = [getattr(mine, clock) / getattr(one, clock) for one, mine in zip(taken, whole, strict=True)]
            cells += [f"{median(speeds):,.0f}", f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"]
        yield f"| {name} | {' | '.join(cells)} | {min(fetches[name])} to {max(fetches[name])} |"


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1600)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name, bucket(Path(name) / "weed") as place, patient_run():
        folder, fetched = Path(name), Fetches()
        store = Store.open(place, folder / "maker")
        whole = pictures.shards(folder, asked.images, SIZE, store, shard_bytes=SHARD_BYTES)
        tars = whole.splits["train"].shards
        stored = sum(tar.bytes for tar in tars)
        two_windows = 2 * WINDOW * SHARD_BYTES
        warm, small = (
            Store.open(place, folder / machine_name, limit).get(ShardSet, whole.digest)
            for machine_name, limit in (("warm", 2 * stored), ("small", two_windows))
        )
        contenders = {
            "whole copy": Timed("", asked.images, a_pass(whole)),
            "whole copy, all images together": Timed("", asked.images, a_pass(whole, windowed=False)),
            "store, all tars held": Timed("", asked.images, a_pass(warm)),
            "store, two windows held": Timed("", asked.images, a_pass(small)),
        }
        print(f"{asked.images:,} JPEGs of {SIZE} px, {stored / 1e6:.0f} MB in {len(tars)} tars, window {WINDOW}")
        fetched.taken()
        print(f"first pass of the cache that holds all: {contenders['store, all tars held'].measure()}")
        print(f"  {fetched.taken()} tars fetched")
        times: dict[str, list[Timing]] = {name: [] for name in contenders}
        fetches: dict[str, list[int]] = {name: [] for name in contenders}
        for number in range(asked.rounds):
            names = list(contenders)
            for name in names[number % len(names) :] + names[: number % len(names)]:
                times[name].append(contenders[name].measure())
                fetches[name].append(fetched.taken())
        held = sum(path.stat().st_size for path in (folder / "small" / HELD).glob("*.tar"))
        print(f"held in the end: {held / 1e6:.1f} MB of {two_windows / 1e6:.1f} MB allowed\n")
        print("\n".join(rows(times, fetches, asked.images)))
        together, windowed = foreseen(200, 1000, 20, 10)
        print(f"\n200 tars of 1,000 images, 20 held: {together:,} fetches a pass; in windows of 10, {windowed:,}\n")
        print(machine.in_a_line(machine.facts(), ("processor", "cores", "commit", "load_average", "at")))


if __name__ == "__main__":
    main()
