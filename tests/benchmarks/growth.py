"""What a data set of ten times as many images costs: time, memory of every process, files and bytes.

`python tests/benchmarks/growth.py measure --images 10000 --notes NOTES.json` measures one size and adds it to the
notes, so that sizes can be measured one at a time; `... table --notes NOTES.json` prints the tables, and `... fill`
draws the pile alone, beforehand.

Pictures are 16 px of noise drawn by number, as PNG, a thousand to a folder; of a thousand, five are cut short and two
are copies. Each night is a process of its own, as is the loader. The memory of all processes that belong to it is asked
of the kernel every half second: the most that was ever resident (`VmHWM`, with what is mapped), and the most that was
found held (`RssAnon`); so is the room that files without a name take.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import machine
import numpy as np
import psutil

from components.artifacts import write_atomically

_MARK = "KINTSUGI_GROWTH_OF"
_EVERY_S = 0.5
_PER_FOLDER = 1000
_LONG_AGO_S = 1_000_000_000
NIGHT = """
import json, resource, sys, time
from pathlib import Path
from components.artifacts import Store
from components.data import DatasetConfig, FolderSource, write_shards
import webdataset

pile, store = map(Path, sys.argv[1:])
print("ready", flush=True)
wall, cpu = time.perf_counter(), time.process_time()
shards = write_shards(DatasetConfig(source=FolderSource(path=pile), size=16), Store(store))
own = [path.stat().st_size for path in shards.path.iterdir()]
print(json.dumps({"wall_s": time.perf_counter() - wall, "own_cpu_s": time.process_time() - cpu, "files": len(own),
    "bytes": sum(own), "digest": shards.digest, "accepted": shards.accepted, "duplicates": shards.duplicates,
    "rejected": sum(shards.rejected.values()), "took": shards.growth.facts}), flush=True)
"""
LOADING = """
import json, sys, time
from contextlib import closing
from itertools import islice
from pathlib import Path
from components.artifacts import Store
from components.data import Loader, Samples, ShardReader, ShardSet, Share, decoded_pixels

store, digest = sys.argv[1:]
store = Store(Path(store))
print("ready", flush=True)
start, cpu = time.perf_counter(), time.process_time()
shards = store.by_digest(ShardSet, digest)
reader = ShardReader(shards, "train")
pixels = decoded_pixels(shards, "train", store.root / "cache", 0)
samples = Samples(pixels, reader.keys, shards.digest, reader.labels)
opened = time.perf_counter() - start
with closing(Loader(samples, Share(64), seed=1, flip=True).batches(0)) as batches:
    next(batches)
    first = time.perf_counter() - start
    for batch in islice(batches, 500):
        pass
print(json.dumps({"opened_s": opened, "first_batch_s": first, "wall_s": time.perf_counter() - start,
    "own_cpu_s": time.process_time() - cpu, "images": len(reader)}), flush=True)
time.sleep(1)
"""


def add(pile: Path, first: int, last: int) -> None:
    """Put pictures of these numbers into the pile, as files that are old."""
    for number in range(first, last):
        folder = pile / f"{number // _PER_FOLDER:06d}"
        if number == first or number % _PER_FOLDER == 0:
            folder.mkdir(parents=True, exist_ok=True)
        drawn = number - 1 if number % 500 == 7 else number  # a copy of the one before
        pixels = np.random.Generator(np.random.Philox(drawn)).integers(0, 256, (16, 16, 3), np.uint8)
        content = cv2.imencode(".png", pixels)[1].tobytes()
        path = folder / f"{number:09d}.png"
        path.write_bytes(content[:60] if number % 200 == 100 else content)
        os.utime(path, (_LONG_AGO_S, _LONG_AGO_S))


class Watched:
    """A program and all processes that it starts, and what they took at most."""

    def __init__(self, program: str, *arguments: object) -> None:
        self._mark = f"{os.getpid()}-{time.monotonic_ns()}"
        self._process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            stdout=subprocess.PIPE, text=True, env={**os.environ, _MARK: self._mark, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        self.peaks: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._cpu_s: dict[int, float] = {}

    def taken(self) -> dict[str, Any]:
        """Wait for its end, and return what it said and what it took."""
        assert self._process.stdout is not None
        self._process.stdout.readline()
        self.look()
        ready = {name: dict(peak) for name, peak in self.peaks.items()}
        while self._process.poll() is None:
            self.look()
            time.sleep(_EVERY_S)
        if self._process.returncode:
            raise RuntimeError(f"the program ended with exit code {self._process.returncode}")
        said: dict[str, Any] = json.loads(self._process.stdout.read())
        others = sum(cpu_s for number, cpu_s in self._cpu_s.items() if number != self._process.pid)
        peaks = {name: dict(peak) for name, peak in self.peaks.items()}
        return {**said, "cpu_s": said["own_cpu_s"] + others, "ready": ready, "peaks": peaks}

    def look(self) -> None:
        """Take note of what each process takes now."""
        for process in psutil.process_iter():
            try:
                if process.environ().get(_MARK) == self._mark:
                    self._look_at(process)
            except (psutil.Error, OSError, StopIteration):  # it has ended, or is another's
                continue

    def _look_at(self, process: psutil.Process) -> None:
        peak, status = self.peaks[self._name(process)], Path(f"/proc/{process.pid}/status").read_text()
        for fact in ("VmHWM", "RssAnon"):
            found = next(line for line in status.splitlines() if line.startswith(fact))
            peak[fact] = max(peak[fact], int(found.split()[1]) / 1024)
        used = process.cpu_times()
        self._cpu_s[process.pid] = used.user + used.system
        if process.pid == self._process.pid:
            peak["scratch"] = max(peak["scratch"], _unnamed_bytes(process.pid) / 1e6)

    def _name(self, process: psutil.Process) -> str:
        if process.pid == self._process.pid:
            return "main"
        command = " ".join(process.cmdline())
        if "launch.forking" not in command:
            return "go-between"
        return "forkserver" if process.ppid() == self._process.pid else "decoder"


def _unnamed_bytes(number: int) -> int:
    """Return the size of files that a process has open and that are in no folder any more."""
    total = 0
    for link in Path(f"/proc/{number}/fd").iterdir():
        if str(link.readlink()).endswith("(deleted)") and str(link.readlink()).startswith("/"):
            total += link.stat().st_size
    return total


def fill(images: int, folder: Path) -> float:
    """Draw a pile of so many images, if it is not there; return the seconds that took."""
    start = time.process_time()
    if not (folder / "drawn").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        add(folder / "pile", 0, images)
        (folder / "drawn").write_text(f"{images}")
    return time.process_time() - start


def measure(images: int, folder: Path) -> dict[str, Any]:
    """Return what a pile of so many images took: the first night, the loader, and a night with a hundredth more."""
    pile, store = folder / "pile", folder / "store"
    drawn_s = fill(images, folder)
    first = _told(Watched(NIGHT, pile, store))
    loading = _told(Watched(LOADING, store, first["digest"]))
    add(pile, images, images + images // 100)
    grown = _told(Watched(NIGHT, pile, store))
    shutil.rmtree(folder)
    return {"facts": machine.facts(), "drawn_s": drawn_s, "first": first, "grown": grown, "loading": loading}


def _told(watched: Watched) -> dict[str, Any]:
    """Return what a program took, and print it at once: should a later one fail, that much is known."""
    taken = watched.taken()
    sys.stdout.write(json.dumps(taken) + "\n")
    sys.stdout.flush()
    return taken


def table(notes: Mapping[str, Any]) -> Iterator[str]:
    """Yield the tables' lines."""
    sizes, facts = sorted(notes, key=int), "CPU time | an image | wall | held | most | when ready | decoder | scratch"
    for part in ("first", "grown"):
        yield f"| images, {part} night | {facts} | left |"
        yield "|" + "---|" * 10
        yield from (_night(int(size), notes[size][part]) for size in sizes)
    yield "| images to train on | opened | first batch | 500 batches | held more | resident more | pace |"
    yield "|" + "---|" * 7
    yield from (_loading(notes[size]["loading"]) for size in sizes)


def _night(images: int, one: Mapping[str, Any]) -> str:
    main, ready, decoder = one["peaks"]["main"], one["ready"]["main"], one["peaks"].get("decoder", {"VmHWM": 0})
    cells = (
        f"{images:,}",
        f"{one['cpu_s']:.1f} s",
        f"{1e6 * one['cpu_s'] / images:.0f} µs",
        f"{one['wall_s']:.0f} s",
        f"{main['RssAnon']:.1f} MiB",
        f"{main['VmHWM']:.1f} MiB",
        f"{ready['RssAnon']:.1f}, {ready['VmHWM']:.1f} MiB",
        f"{decoder['VmHWM']:.1f} MiB",
        f"{main['scratch']:.0f} MB",
        f"{one['files']} files, {one['bytes'] / 1e6:.1f} MB",
    )
    return f"| {' | '.join(cells)} |"


def _loading(one: Mapping[str, Any]) -> str:
    main, ready = one["peaks"]["main"], one["ready"]["main"]
    cells = (
        f"{one['images']:,}",
        f"{1000 * one['opened_s']:.1f} ms",
        f"{1000 * one['first_batch_s']:.1f} ms",
        f"{one['own_cpu_s']:.2f} s",
        f"{main['RssAnon'] - ready['RssAnon']:.1f} MiB",
        f"{main['VmHWM'] - ready['VmHWM']:.1f} MiB",
        f"{500 * 64 / one['wall_s']:,.0f} images/s",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure one size, or print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("fill", "measure", "table"))
    parser.add_argument("--notes", type=Path, default=Path("growth.json"))
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/kintsugi-growth"))
    asked = parser.parse_args()
    notes = json.loads(asked.notes.read_text()) if asked.notes.is_file() else {}
    if asked.what == "fill":
        fill(asked.images, asked.folder)
        return
    if asked.what == "measure":
        notes[str(asked.images)] = measure(asked.images, asked.folder)
        write_atomically(asked.notes, json.dumps(notes, indent=1).encode())
    sys.stdout.write("\n".join(table(notes)) + "\n")


if __name__ == "__main__":
    main()
