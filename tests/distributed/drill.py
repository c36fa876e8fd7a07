"""The drill: trainings are killed at random instants until they are finished, and must end in an untouched one's bytes.

`python tests/distributed/drill.py --kills 100` trains each family with 1, 2 and 4 processes twice, once left alone and
once killed (SIGKILL): a rank, the launcher (torchrun), the forkserver or the parent that a flow would be; while
starting, while training, or inside the write of a checkpoint. Exit code 1 if final weights, exported weights or scores
differ.
"""

import argparse
import json
import math
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from drilled_training import BATCH, FAMILIES, STEPS, Attempt, fingerprint, prepare, write_job

GIVE_UP_S = 600.0
OTHER_PIPE_S = 0.5  # "resumed at" is said before the first step, but comes by another way
WHEN = ("training", "training", "training", "checkpoint write", "checkpoint write", "starting")
WHOM = ("a rank", "the launcher", "the forkserver", "the parent")


@dataclass
class Kill:
    """One kill and what came of it."""

    family: str
    processes: int
    when: str
    victim: str
    at_s: float
    """Since the launch that was hit."""
    at_images: int
    """Seen when it was killed, as far as reported."""
    inside_write: bool
    """Whether a half-written checkpoint was found after the kill."""
    resumed_images: int = -1
    recovery_s: float = -1.0
    """Until the next finished step."""


class Drill:
    """One training that is killed until it has been killed often enough, then left to finish."""

    def __init__(self, job_file: Path, family: str, processes: int, dice: random.Random, steps: int) -> None:
        self.job_file, self.folder = job_file, job_file.parent
        self.family, self.processes, self.dice, self.steps = family, processes, dice, steps
        self.attempt = Attempt(job_file, processes)
        self.kills: list[Kill] = []

    def run(self, kills: int, told: Callable[[Kill], None]) -> None:
        """Kill `kills` times and let the training finish; `told` hears of each kill."""
        while len(self.kills) < kills and self._kill(kills - len(self.kills)):
            self._recover(self.kills[-1])
            told(self.kills[-1])
        self._wait(lambda: False)

    def _kill(self, left: int) -> bool:
        """Kill once; return False if the training was finished before."""
        when, whom = self.dice.choice(WHEN), self.dice.choice(WHOM)
        since = self.attempt.launch_line()
        begun = self.attempt.lines[since][0] if since >= 0 else time.monotonic()
        if when == "starting":
            self._wait_s(self.dice.uniform(0, 3))
        else:
            # Far enough from the end that all kills find room.
            reached = max((images for _, images in self.attempt.progress(since)), default=self.attempt.resumed(since))
            room = max(1, (self.steps * BATCH - reached) // (left + 1))
            goal = reached + self.dice.randint(1, room)
            if self._wait(lambda: any(images >= goal for _, images in self.attempt.progress(since)[-1:])):
                return False
            if when == "checkpoint write":
                self._wait(self._is_writing)
            else:
                self._wait_s(self.dice.uniform(0, 0.05))
        victims = self.attempt.victims(whom)
        if self.attempt.has_ended or not victims:
            return not self.attempt.has_ended and self._kill(left)
        number = self.dice.randrange(len(victims)) if when != "checkpoint write" else 0
        with suppress(psutil.Error):
            victims[number].kill()
            at = time.monotonic()
            seen = max((images for _, images in self.attempt.progress(since)), default=0)
            kill = Kill(self.family, self.processes, when, whom, round(at - begun, 2), seen, self._is_writing())
            self.kills.append(kill)
            return True
        return self._kill(left)

    def _recover(self, kill: Kill) -> None:
        """Start the parent again if it is gone, and note how long it took until the next step."""
        killed = time.monotonic()
        before = self.attempt.launch_line()
        while time.monotonic() - killed < GIVE_UP_S:
            if self.attempt.has_ended and not (self.folder / "export").is_dir():
                self.attempt, before = Attempt(self.job_file, self.processes), -1
            since = self.attempt.launch_line()
            progress = self.attempt.progress(since) if since > before else []
            if progress:
                time.sleep(OTHER_PIPE_S)
                kill.resumed_images, kill.recovery_s = self.attempt.resumed(since), round(progress[0][0] - killed, 1)
                return
            if (self.folder / "export").is_dir():
                kill.resumed_images = self.steps * BATCH
                return
            time.sleep(0.02)
        raise TimeoutError(f"{self.folder}: no step for {GIVE_UP_S:g} s after {kill}")

    def _wait(self, condition: Callable[[], bool]) -> bool:
        """Wait for `condition`; return True if the training ended before. A parent that gave up is started again."""
        deadline = time.monotonic() + GIVE_UP_S
        while not condition():
            if self.attempt.has_ended:
                if (self.folder / "export").is_dir():
                    return True
                self.attempt = Attempt(self.job_file, self.processes)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.folder}: not finished within {GIVE_UP_S:g} s")
            time.sleep(0.001)
        return False

    def _wait_s(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        self._wait(lambda: time.monotonic() >= until)

    def _is_writing(self) -> bool:
        with suppress(FileNotFoundError):
            return any(entry.name.endswith(".part") for entry in os.scandir(self.folder / "checkpoints"))
        return False


def drills(options: argparse.Namespace, folder: Path) -> Iterator[tuple[str, int, list[Kill], bool]]:
    """Yield each family and number of processes with its kills and whether it ended in an untouched run's bytes."""
    dice = random.Random(options.seed)
    shards = prepare(folder)
    combinations = [(family, processes) for processes in options.processes for family in options.families]
    shares = sum(1 / processes for _, processes in combinations)
    for family, processes in combinations:
        kills = math.ceil(options.kills / processes / shares)  # a kill costs the more, the more processes start again
        digests = []
        for name, share in (("untouched", 0), ("killed", kills)):
            job_file = write_job(folder / f"{family}-{processes}-{name}", family, shards, options.steps)
            drill = Drill(job_file, family, processes, dice, options.steps)
            drill.run(share, lambda kill: _say(_row(kill)))
            digests.append(fingerprint(job_file.parent))
        equal = digests[0] == digests[1] and len(drill.kills) == kills
        _say(f"{family}, {processes} processes: {len(drill.kills)} kills, equal {'yes' if equal else 'NO'} {digests}")
        yield family, processes, drill.kills, equal


def _row(kill: Kill) -> str:
    return (
        f"{kill.family:9} x{kill.processes} {kill.at_s:6.2f} s  {kill.when:16} {kill.victim:14} "
        f"at {kill.at_images:6,} {'torn' if kill.inside_write else '    '}  "
        f"resumed at {kill.resumed_images:6,} after {kill.recovery_s:5.1f} s"
    )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run the drill; return 1 if anything differed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="kills over all trainings, at least")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6, help="of instants and victims")
    parser.add_argument("--steps", type=int, default=STEPS, help="optimizer steps of each training")
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--json", type=Path, help="write every kill and every comparison here")
    options = parser.parse_args()
    _say(f"seed {options.seed}")
    record = []
    with tempfile.TemporaryDirectory(prefix="drill-") as folder:
        for family, processes, kills, equal in drills(options, Path(folder)):
            listed = [asdict(kill) for kill in kills]
            record.append({"family": family, "processes": processes, "equal": equal, "kills": listed})
            if options.json:
                options.json.write_text(json.dumps({"seed": options.seed, "trainings": record}, indent=1))
    return 0 if all(training["equal"] for training in record) else 1


if __name__ == "__main__":
    sys.exit(main())
