"""Resume: a training that is killed without warning and goes on ends in the bytes of one that was not."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import trainings
from trainings import Piece

from components.worker.jobs import PROGRESS, TrainJob

_MEMBERS = {
    f"{model}{', compiled' if compiled else ''}": compiled
    for model in ("dcgan", "residual vae", "ffc", "flow")
    for compiled in (False, True)
}
"""One of each family, and whether it is compiled."""
_IN_THE_REHEARSAL = ("dcgan",)
_ROOT = Path(__file__).parents[2]
_STEPS = 24
_LONG = 10**9  # images: compiling pays back in as many; it is stopped after the steps

Running = tuple[TrainJob, subprocess.Popen[str]]


def pieces(scale: trainings.Scale, folder: Path) -> Iterator[Piece]:
    """Yield of each member whether killed and undisturbed trainings are equal; all at once on one card."""
    shards = trainings.drawn(scale, folder)
    members = _IN_THE_REHEARSAL if scale.small else _MEMBERS
    running: dict[tuple[str, str], Running] = {}
    for name in members:
        model = name.partition(",")[0]
        batch = scale.model(model, 1000, {}).training.batch
        for fate in ("undisturbed", "killed"):
            options = {"step": "graph", "checkpoint_every": 4 * batch, "log_every": batch, "compile": _MEMBERS[name]}
            job = trainings.job_of(model, scale, shards, folder / name / fate, _LONG, **options)
            job = job.model_copy(update={"stop_at": _STEPS * batch})
            running[name, fate] = (job, begun(job))
    with ThreadPoolExecutor(len(members)) as pool:
        ends = {name: pool.submit(_of, running[name, "undisturbed"], running[name, "killed"]) for name in members}
        for name, end in ends.items():
            yield Piece({"model": name}, end.result)


def _of(undisturbed: Running, killed: Running) -> dict[str, Any]:
    stop_at = killed[0].stop_at
    assert stop_at is not None
    seen = _killed_after(killed[1], stop_at // 2)
    begun(killed[0]).communicate()
    undisturbed[1].communicate()
    equal = _bytes_at(stop_at, killed[0]) == _bytes_at(stop_at, undisturbed[0])
    return {"killed after images": seen, "equal to the byte": equal}


def begun(job: TrainJob) -> subprocess.Popen[str]:
    """Start a training in a process of its own; its output can be read."""
    file = job.folder / "job.json"
    file.write_text(job.model_dump_json())
    command = [sys.executable, "-m", "components.worker", str(file)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def _killed_after(process: subprocess.Popen[str], images: int) -> int:
    """Kill the process when it has seen so many images; return how many it had reported."""
    seen = 0
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(PROGRESS):
            seen = int(json.loads(line.removeprefix(PROGRESS))["images"])
        if seen >= images:
            break
    process.kill()
    process.wait()
    return seen


def _bytes_at(images: int, job: TrainJob) -> bytes:
    place = job.folder / "checkpoints" / f"{images:012d}"
    return (place / "state.safetensors").read_bytes() if place.is_dir() else os.urandom(8)
