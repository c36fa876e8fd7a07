"""What a night costs whose pile has grown by 50 images, beside the first night of 5,000 and one without anything new.

`python tests/benchmarks/growing.py --name growing_2cores_202611` writes `results/NAME.md`. Each night is a call of
`write_shards` in a process of its own, as a scheduled run is; files opened are counted at `os.open`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import machine

from components.artifacts import write_atomically
from components.data import ShapesSource

RESULTS = Path(__file__).parent / "results"
LONG_AGO_S = 1_000_000_000
NIGHT = """
import json, os, sys, time
from pathlib import Path
from components.artifacts import Store
from components.data import DatasetConfig, FolderSource, tars, write_shards
import webdataset

pile, store = map(Path, sys.argv[1:])
opened, really = 0, os.open

def counted(path, *rest, **more):
    global opened
    opened += str(path).startswith(str(pile))
    return really(path, *rest, **more)

os.open = counted
wall, cpu = time.perf_counter(), time.process_time()
shards = write_shards(DatasetConfig(source=FolderSource(path=pile), size=64), Store(store))
own = sum(path.stat().st_size for path in shards.path.iterdir())
print(json.dumps({"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu, "opened": opened,
    "megabytes": own / 1e6, "took": shards.growth.facts, "digest": shards.digest}))
"""


def add(pile: Path, first: int, last: int) -> None:
    """Put pictures of these numbers into the pile, as files that are old."""
    drawn = ShapesSource(images=last, raster_px=128).items()
    for number, item in enumerate(drawn):
        if number >= first:
            (pile / item.name).write_bytes(item.content)
            os.utime(pile / item.name, (LONG_AGO_S, LONG_AGO_S))


def night(pile: Path, store: Path) -> dict[str, float | str]:
    """Return what one night took."""
    done = subprocess.run([sys.executable, "-c", NIGHT, pile, store], capture_output=True, text=True, check=True)
    measured: dict[str, float | str] = json.loads(done.stdout)
    return measured


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--more", type=int, default=50)
    parser.add_argument("--nights", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pile, store = Path(folder) / "pile", Path(folder) / "store"
        pile.mkdir()
        add(pile, 0, asked.images)
        rows = [(f"first, {asked.images:,} images", night(pile, store))]
        for number in range(asked.nights):
            images = asked.images + asked.more * number
            add(pile, images, images + asked.more)
            rows.append((f"{asked.more} more", night(pile, store)))
            rows.append(("nothing new", night(pile, store)))
        rows.append((f"all {images + asked.more:,} at once", night(pile, Path(folder) / "other")))
    last, at_once = rows[-2][1], rows[-1][1]
    if last["digest"] != at_once["digest"]:
        raise RuntimeError("the grown version is not the one that is made at once")
    facts = machine.facts()
    base_s = float(rows[0][1]["cpu_s"])
    lines = [
        f"# {asked.images:,} images, then {asked.more} more each night",
        "",
        "| night | CPU time | of the first | wall time | files opened | own folder | took |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {name} | {one['cpu_s']:.2f} s | {float(one['cpu_s']) / base_s:.1%} | {one['wall_s']:.2f} s | "
            f"{one['opened']:,} | {one['megabytes']:.2f} MB | {one['took']} |"
            for name, one in rows
        ),
        "",
        "Drawn shapes of 128 px as PNG, to 64 px. n = 1 for each row. A file is opened once for the fingerprint and "
        "once to be decoded. Nights without anything new say what the version that they found took.",
        "",
        machine.in_a_line(facts, ("processor", "cores", "commit", "load_average", "at")),
        "",
    ]
    write_atomically(RESULTS / f"{asked.name}.md", "\n".join(lines).encode())


if __name__ == "__main__":
    main()
