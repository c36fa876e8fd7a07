"""One training of the drill, run by a parent as a flow's stage is one: `python drilled_training.py JOB PROCESSES`."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import yaml

BATCH, STEPS, CHECKPOINT_STEPS = 16, 160, 5
SEED = 5
MATRIX = yaml.safe_load((Path(__file__).parents[1] / "end_to_end" / "model_matrix.yaml").read_text())["models"]
FAMILIES = {model["recipe"]["kind"]: model for model in reversed(MATRIX.values())}
"""The first model of each family in the matrix."""


def parent(job_file: Path, processes: int) -> None:
    """Be what a flow's stage is: launch, relaunch when a process is lost, pass lines on."""
    from components import launch
    from components.launch.persist import persist
    from components.worker.program import program

    folder = job_file.parent

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def attempt() -> None:
        say("launch")
        launch.launch_ranks(
            program(job_file, {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}),
            launch.Placement(processes),
            folder / "logs",
            limits=launch.Limits(heartbeat=folder / "heartbeat", heartbeat_timeout_s=60),
            on_line=say,
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
        command = [sys.executable, "-u", __file__, str(job_file), str(processes)]
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
            if whom == "a rank":
                return [one for one in below if one.name() == "worker"]
            module = "components.launch.agent" if whom == "the launcher" else "components.launch.forking"
            return [one for one in below if module in one.cmdline()][:1]  # what a forkserver forks comes after it
        return []


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
    from components.worker.jobs import TrainJob

    model = FAMILIES[family]
    scored = {"every": 20 * BATCH, "samples": 8}
    training = {
        "images": steps * BATCH,
        "batch": BATCH,
        # The matrix scores those whose validation needs no feature network at every start.
        "validation": scored if "validation" in model["training"] else None,
        "guard": {"look_every": 4 * BATCH},
    }
    execution = {"log_every": BATCH, "sample_every": 10**6, "checkpoint_every": CHECKPOINT_STEPS * BATCH}
    job = TrainJob(
        run=family,
        model=ModelConfig.model_validate({**model, "training": training, "execution": execution}),
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


if __name__ == "__main__":
    parent(Path(sys.argv[1]), int(sys.argv[2]))
