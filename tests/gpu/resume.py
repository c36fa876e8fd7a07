"""Resume: a training that is killed without warning and goes on ends in the bytes of one that was not."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import trainings

from components.worker.jobs import PROGRESS, TrainJob

_MEMBERS = ("sngan", "dcgan", "residual vae", "ffc", "flow")
_IN_THE_REHEARSAL = ("dcgan",)
_ROOT = Path(__file__).parents[2]
_STEPS = 24


def measure(scale: trainings.Scale, folder: Path) -> list[dict[str, Any]]:
    """Return of each family's member whether killed and undisturbed trainings are equal; all at once on one card."""
    shards = trainings.drawn(scale, folder)
    members = _IN_THE_REHEARSAL if scale.small else _MEMBERS
    running = {}
    for name in members:
        batch = scale.model(name, 1000, {}).training.batch
        for fate in ("undisturbed", "killed"):
            options = {"step": "graph", "checkpoint_every": 4 * batch, "log_every": batch}
            job = trainings.job_of(name, scale, shards, folder / name / fate, _STEPS * batch, **options)
            running[name, fate] = (job, _begun(job))
    rows = []
    for name in members:
        undisturbed, process = running[name, "undisturbed"]
        killed, victim = running[name, "killed"]
        seen = _killed_after(victim, undisturbed.model.training.images // 2)
        process.communicate()
        _begun(killed).communicate()
        equal = _last_bytes(killed) == _last_bytes(undisturbed)
        rows.append({"model": name, "killed after images": seen, "equal to the byte": equal})
    return rows


def _begun(job: TrainJob) -> subprocess.Popen[str]:
    file = job.folder / "job.json"
    file.write_text(job.model_dump_json())
    environment = os.environ | {"PYTHONPATH": str(_ROOT)}
    command = [sys.executable, "-m", "components.worker", str(file)]
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


def _last_bytes(job: TrainJob) -> bytes:
    place = job.folder / "checkpoints" / f"{job.model.training.images:012d}"
    return (place / "state.safetensors").read_bytes() if place.is_dir() else os.urandom(8)
