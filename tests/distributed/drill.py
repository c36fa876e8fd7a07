"""The drill: trainings are killed at random instants until they are finished, and must end in an untouched one's bytes.

`python tests/distributed/drill.py --kills 100` trains each family with 1, 2 and 4 processes twice, once left alone and
once killed (SIGKILL): a rank, the launcher (torchrun) or the parent that a flow would be; while starting, while
training, or inside the write of a checkpoint. Exit code 1 if final weights, exported weights or scores differ.
"""

import argparse
import hashlib
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

BATCH, STEPS, CHECKPOINT_STEPS = 16, 160, 5
SEED = 5
GIVE_UP_S = 600.0
FAMILIES = {
    "gan": {
        "kind": "gan",
        "generator": {"kind": "dcgan", "latent": 8, "width": 4, "normalisation": "batch"},
        "discriminator": {"kind": "dcgan", "width": 4},
    },
    "vae": {"kind": "vae", "network": {"kind": "conv", "latent": 8, "width": 4}},
    "inpainter": {
        "kind": "inpainter",
        "network": {"kind": "resnet", "width": 8, "blocks": 2},
        "adversary": {"discriminator": {"width": 8, "layers": 2}},
    },
}
WHEN = ("training", "training", "training", "checkpoint write", "checkpoint write", "starting")
WHOM = ("a rank", "the launcher", "the parent")


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


def parent(job_file: Path, processes: int) -> None:
    """Be what a flow's stage is: launch, relaunch when a process is lost, pass lines on."""
    from components import launch
    from components.relaunch import persist

    folder = job_file.parent

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def attempt() -> None:
        say("launch")
        launch.torchrun(
            "components.worker",
            [str(job_file)],
            processes=processes,
            logs=folder / "logs",
            environment={"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
            on_line=say,
            heartbeat=folder / "heartbeat",
            heartbeat_timeout_s=60,
        )

    try:
        persist(attempt, lambda: max(_places(folder), default=None), relaunches=1_000)
    except launch.Stopped as stopped:
        say(str(stopped))
        sys.exit(launch.EXIT_STOPPED)


def _places(folder: Path) -> list[int]:
    """Return the images seen at each checkpoint; not by the pipeline's own function, whose import takes seconds."""
    return [int(path.name) for path in (folder / "checkpoints").glob("*") if path.name.isdigit()]


class Attempt:
    """A parent that runs, what it has said, and who is below it."""

    def __init__(self, job_file: Path, processes: int) -> None:
        command = [sys.executable, "-u", __file__, "--parent", str(job_file), str(processes)]
        root = str(Path(__file__).parents[2])
        variables = os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=variables
        )
        self.lines: list[tuple[float, str]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.lines.append((time.monotonic(), line.strip()))

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def launch_line(self) -> int:
        """Return the number of the line at which the present launch began, -1 if none has."""
        return max((n for n, (_, text) in enumerate(self.lines) if text == "launch"), default=-1)

    def progress(self, since: int) -> list[tuple[float, int]]:
        """Return when how many images were reported after line `since`."""
        found = [(at, text.partition("progress ")[2]) for at, text in self.lines[since + 1 :] if "progress {" in text]
        return [(at, json.loads(text)["images"]) for at, text in found]

    def resumed(self, since: int) -> int:
        """Return the images from which the launch that began at line `since` went on."""
        for _, text in self.lines[since + 1 :]:
            if "resumed at " in text:
                return int(text.partition("resumed at ")[2].partition(" of ")[0].replace(",", ""))
        return 0

    def victims(self, whom: str) -> list[psutil.Process]:
        if whom == "the parent":
            return [psutil.Process(self.process.pid)]
        with suppress(psutil.Error):
            below = psutil.Process(self.process.pid).children(recursive=True)
            ranks = [one for one in below if _is_rank(one)]
            return ranks if whom == "a rank" else [one for one in below if one not in ranks][:1]
        return []


def _is_rank(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return "components.worker" in process.cmdline()[:4]
    return False


def prepare(folder: Path) -> Path:
    """Draw the images, and return their shards."""
    from components.artifacts import Store
    from components.data import DatasetConfig, ShapesSource, write_shards

    dataset = DatasetConfig(source=ShapesSource(images=60, raster_px=16), size=16)
    return write_shards(dataset, Store(folder / "store")).path


def write_job(folder: Path, family: str, shards: Path, steps: int) -> Path:
    """Write the training job of one run below `folder`, and return its file."""
    from components.config import CorruptionConfig, ModelConfig
    from components.corruption import CorruptionMix
    from components.jobs import TrainJob

    scored = {"every": 20 * BATCH, "samples": 8}
    training = {
        "images": steps * BATCH,
        "batch": BATCH,
        "validation": None if family == "gan" else scored,  # a GAN's needs a feature network at every start
        "guard": {"look_every": 4 * BATCH},
    }
    execution = {"log_every": BATCH, "sample_every": 10**6, "checkpoint_every": CHECKPOINT_STEPS * BATCH}
    rest = {"evaluation": {"kind": "generation"}, "promotion": {"metric": "fd_efficientnet_lite0"}}
    if family == "inpainter":
        rest = {"evaluation": {"kind": "restoration"}, "promotion": {"metric": "psnr_hole"}}
    job = TrainJob(
        run=family,
        model=ModelConfig.model_validate(
            {"recipe": FAMILIES[family], "training": training, "execution": execution, **rest}
        ),
        seed=SEED,
        shards=shards,
        corruption=CorruptionConfig(mix=CorruptionMix()),
        folder=folder,
        cache=shards.parent / "cache",
        tracking_run=None,
    )
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(job.model_dump_json())
    return folder / "job.json"


def fingerprint(folder: Path) -> dict[str, str]:
    """Return digests of all that a training leaves: last state, export, scores on the way."""
    newest = folder / "checkpoints" / f"{max(_places(folder)):012d}"
    lines = (folder / "curve.jsonl").read_text().splitlines()
    scores = [line for line in lines if "validation/" in line]
    return {
        "state": hashlib.sha256((newest / "state.safetensors").read_bytes()).hexdigest()[:12],
        "export": hashlib.sha256((folder / "export" / "model.safetensors").read_bytes()).hexdigest()[:12],
        "scores": hashlib.sha256("\n".join(scores).encode()).hexdigest()[:12],
    }


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
            name = f"rank {victims[number].environ()['RANK']}" if whom == "a rank" else whom
            victims[number].kill()
            at = time.monotonic()
            seen = max((images for _, images in self.attempt.progress(since)), default=0)
            kill = Kill(self.family, self.processes, when, name, round(at - begun, 2), seen, self._is_writing())
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
        f"{kill.family:9} x{kill.processes} {kill.at_s:6.2f} s  {kill.when:16} {kill.victim:12} "
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
    if sys.argv[1:2] == ["--parent"]:
        parent(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        sys.exit(main())
