"""Fuzzing: damaged files by the million, each prepared as a data set would, none of which may crash, hang or cost much.

`python tests/hostile/fuzz.py --inputs 1000000 --seed 0` makes file number n of a seed from real encodings
(`pictures.py`) by damage (`mutations.py`), prepares it, and prints a table. A process of its own does so, and another
one goes on where it died. Exit code 1 if one died, took over 2 s of a core or needed over 2 GiB, or if a file is
unaccounted for; ended early, it prints the table of what was done.
"""

import argparse
import contextlib
import json
import mmap
import os
import resource
import signal
import struct
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from mutations import mutated
from pictures import encodings

from components.data.encoding import PngEncoding
from components.data.preparation import Preparation, Prepared
from components.data.sources import Problem

HANGS_S, SLOW_S, MOST_BYTES = 20.0, 2.0, 2 * 2**30
NUMBER = struct.Struct("Q")
AS_USUAL = 50_000_000


@dataclass
class Tally:
    """What became of the files, and what they cost."""

    outcomes: Counter[str] = field(default_factory=Counter)
    deaths: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    slowest: str = ""
    most_bytes: int = 0
    cpu_s: float = 0.0

    def add(self, part: dict) -> None:
        """Take in what one process said of its files."""
        self.outcomes += Counter(part["outcomes"])
        if part["slowest_s"] > self.slowest_s:
            self.slowest_s, self.slowest = part["slowest_s"], part["slowest"]


def prepare(numbers: range, seed: int, most_pixels: int, at: mmap.mmap) -> dict:
    """Prepare files by number, noting each in `at` before it is touched; return outcomes and the slowest."""
    files, outcomes, slowest_s, slowest = encodings(), Counter(), -1.0, ""
    ways = [
        Preparation(size=16, fit=fit, encoding=PngEncoding(), max_image_pixels=most_pixels) for fit in ("crop", "pad")
    ]
    for number in numbers:
        NUMBER.pack_into(at, 0, number)
        name, content = mutated(files, seed, number)
        made, took_s = timed(ways[number % 2], content)
        if took_s > SLOW_S:  # other work of the machine may have had a hand in it
            took_s = min(took_s, timed(ways[number % 2], content)[1])
        outcome = made.reason if isinstance(made, Problem) else "accepted"
        outcomes[outcome] += 1
        if took_s > slowest_s:
            slowest_s, slowest = took_s, f"number {number}, from {name}: {outcome}"
    return {"outcomes": outcomes, "slowest_s": slowest_s, "slowest": slowest}


def timed(way: Preparation, content: bytes) -> tuple[Prepared | Problem, float]:
    """Return what a file becomes, and after how many seconds of a core; a decoder that hangs ends the process."""
    signal.setitimer(signal.ITIMER_PROF, HANGS_S)
    began = time.process_time()
    made = way.prepare(content)
    took_s = time.process_time() - began
    signal.setitimer(signal.ITIMER_PROF, 0)
    return made, took_s


def run(tally: Tally, inputs: int, seed: int, most_pixels: int, part: int = 5_000) -> None:
    """Prepare so many files, a part at a time, each in a process of its own, and tally what became of them."""
    at = mmap.mmap(-1, NUMBER.size)
    waiting = [range(start, min(start + part, inputs)) for start in range(0, inputs, part)]
    while waiting:
        numbers = waiting.pop()
        if not numbers:
            continue
        code, said, cost = forked(lambda numbers=numbers: prepare(numbers, seed, most_pixels, at))
        tally.most_bytes = max(tally.most_bytes, cost.ru_maxrss * 1024)
        tally.cpu_s += cost.ru_utime + cost.ru_stime
        if code == 0:
            tally.add(json.loads(said))
            continue
        (killer,) = NUMBER.unpack_from(at, 0)
        tally.deaths.append(f"number {killer}: {signal.Signals(-code).name if code < 0 else f'exit code {code}'}")
        tally.outcomes["died"] += 1
        waiting += [range(killer + 1, numbers.stop), range(numbers.start, killer)]  # nothing was said of the latter


def forked(work: Callable[[], dict]) -> tuple[int, str, resource.struct_rusage]:
    """Do work in a forked process; return its exit code, what it returned as JSON, and what it cost."""
    told, tell = os.pipe()
    if (child := os.fork()) == 0:
        os.close(told)
        with os.fdopen(tell, "w") as words:
            json.dump(work(), words)
        os._exit(0)
    os.close(tell)
    try:
        with os.fdopen(told) as words:
            said = words.read()
    except KeyboardInterrupt:
        os.kill(child, signal.SIGKILL)
        raise
    _, status, cost = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), said, cost


def table(tally: Tally, took_s: float) -> str:
    """Return what is known, a line each."""
    refused = {name: count for name, count in sorted(tally.outcomes.items()) if name not in {"accepted", "died"}}
    rows = [
        ("inputs", f"{tally.outcomes.total():,}"),
        ("accepted", f"{tally.outcomes['accepted']:,}"),
        *((f"refused: {name}", f"{count:,}") for name, count in refused.items()),
        ("crashes and hangs", f"{len(tally.deaths):,}"),
        *(("", death) for death in tally.deaths[:20]),
        ("slowest file", f"{tally.slowest_s:.2f} s of a core ({tally.slowest})"),
        ("greatest memory", f"{tally.most_bytes / 2**20:,.0f} MiB"),
        ("hours", f"{took_s / 3600:.3f}, of which a core worked {tally.cpu_s / 3600:.3f}"),
    ]
    return "\n".join(f"{name:<32}{value}" for name, value in rows)


def main() -> int:
    """Run as the command line says; return the exit code."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--inputs", type=int, default=1_000_000)
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--most-pixels", type=int, default=AS_USUAL, help="pictures with more are not decoded")
    given = asked.parse_args()
    warnings.simplefilter("ignore")  # Pillow's, of odd files
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began, tally = time.monotonic(), Tally()
    with contextlib.suppress(KeyboardInterrupt):
        run(tally, given.inputs, given.seed, given.most_pixels)
    print(table(tally, time.monotonic() - began))
    is_counted = tally.outcomes.total() == given.inputs
    return int(not is_counted or bool(tally.deaths) or tally.slowest_s > SLOW_S or tally.most_bytes > MOST_BYTES)


if __name__ == "__main__":
    sys.exit(main())
