"""What sharding by a Dask cluster costs beside this machine's own processes, and how many bytes pass to its workers.

`python tests/benchmarks/many_machines.py --name dask_2cores_202611` writes `results/NAME.md`. Scheduler, workers and
the process that asks share the same cores, so nothing can be gained here: the table says what is lost on the way. Both
take turns, and each pair of data sets must have equal bytes.
"""

import argparse
import hashlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import machine
import numpy as np
from PIL import Image

from components.artifacts import Store, write_atomically
from components.data import DatasetConfig, FolderSource, JpegEncoding, ShapesSource, ShardSet, write_shards
from components.executors import LOCAL, DaskExecutor, ExecutorConfig

RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parents[2]
LONG_AGO_S = 1_000_000_000
WORKERS = 2
PARTITION_BYTES, PARTITIONS = 4 * 2**20, 60


def photo(content: bytes) -> bytes:
    """Return a drawn picture as a camera would write it."""
    kept = io.BytesIO()
    Image.open(io.BytesIO(content)).convert("RGB").save(kept, "JPEG", quality=92)
    return kept.getvalue()


def fill(pile: Path, images: int, side_px: int) -> None:
    """Put drawn pictures into the pile as JPEG files that are old."""
    pile.mkdir()
    for item in ShapesSource(images=images, raster_px=side_px).items():
        path = (pile / item.name).with_suffix(".jpg")
        path.write_bytes(photo(item.content))
        os.utime(path, (LONG_AGO_S, LONG_AGO_S))


@contextmanager
def cluster(folder: Path) -> Iterator[DaskExecutor]:
    """Give a scheduler with two workers of one thread each."""
    place = folder / "scheduler.json"
    common = ["--scheduler-file", str(place), "--no-dashboard", "--host", "127.0.0.1"]
    with (folder / "log").open("wb") as log:
        started = [
            subprocess.Popen([sys.executable, "-m", "dask", *words, *common], stdout=log, stderr=log, cwd=ROOT)
            for words in (["scheduler", "--port", "0"], *[["worker", "--nthreads", "1", "--no-nanny"]] * WORKERS)
        ]
        try:
            while not (place.is_file() and place.read_text().endswith("}")):
                time.sleep(0.1)
            executor = DaskExecutor(scheduler=json.loads(place.read_text())["address"])
            while f"workers {WORKERS}," not in executor.describe():
                time.sleep(0.1)
            yield executor
        finally:
            for one in reversed(started):
                one.terminate()
            for one in started:
                one.wait()


def digest(shards: ShardSet) -> str:
    """Return a digest of all files of a data set."""
    whole = hashlib.sha256()
    for path in sorted(shards.path.iterdir()):
        whole.update(path.name.encode() + path.read_bytes())
    return whole.hexdigest()


def timed(what: Callable[[], object]) -> float:
    """Return the seconds by the clock that a call took."""
    start = time.perf_counter()
    what()
    return time.perf_counter() - start


def passed(executor: ExecutorConfig) -> float:
    """Return how many bytes per second reach workers that only add them up."""
    partition = np.frombuffer(os.urandom(PARTITION_BYTES), np.uint8)
    with executor.open() as crew:
        seconds = timed(lambda: list(crew.each(np.sum, ((None, (partition,)) for _ in range(PARTITIONS)))))
    return PARTITIONS * PARTITION_BYTES / seconds


def in_words(seconds: Sequence[float]) -> str:
    """Return median, least and most."""
    return f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name, cluster(Path(name)) as dask:
        for side_px, images in ((128, asked.images), (1024, asked.images // 5)):
            pile = Path(name) / f"{side_px}"
            fill(pile, images, side_px)
            dataset = DatasetConfig(source=FolderSource(path=pile), size=64, encoding=JpegEncoding())
            took: dict[str, list[float]] = {"local": [], "dask": []}
            for number in range(asked.rounds + 1):  # the first warms up: workers import, decoders start
                found = set()
                for executor in (LOCAL, dask) if number % 2 else (dask, LOCAL):
                    store = Store(pile.with_name(f"{side_px}-{executor.kind}-{number}"))
                    start = time.perf_counter()
                    shards = write_shards(dataset, store, executor=executor)
                    took[executor.kind].append(time.perf_counter() - start)
                    found.add(digest(shards))
                if len(found) > 1:
                    raise RuntimeError("the data sets differ")
            measured = {kind: seconds[1:] for kind, seconds in took.items()}
            ratios = [there / here for here, there in zip(measured["local"], measured["dask"], strict=True)]
            ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            size = sum(path.stat().st_size for path in pile.iterdir()) / images / 1e3
            times = " | ".join(map(in_words, measured.values()))
            rows.append(f"| {images:,} of {side_px} px, {size:.0f} kB each | {times} | {ratio} |")
        rates = [passed(dask) / 1e6 for _ in range(asked.rounds)]
    facts = machine.facts()
    lines = [
        "# Sharding by a Dask cluster of two workers beside this machine's own two processes",
        "",
        f"| JPEG files | two processes | Dask, two workers | Dask / processes, round by round, n = {asked.rounds} |",
        "|---|---|---|---|",
        *rows,
        "",
        "Drawn shapes, to 64 px JPEG; median, least and most. The files of each pair are equal to the byte. Client, "
        "scheduler and workers share the cores: this is what the way through the scheduler costs; no gain can be seen.",
        "",
        f"Bytes that reach workers which only add them up, in partitions of 4 MiB: {statistics.median(rates):.0f} MB/s "
        f"({min(rates):.0f} to {max(rates):.0f}, n = {asked.rounds}).",
        "",
        machine.in_a_line(facts, ("processor", "cores", "commit", "load_average", "at")),
        "",
    ]
    write_atomically(RESULTS / f"{asked.name}.md", "\n".join(lines).encode())


if __name__ == "__main__":
    main()
