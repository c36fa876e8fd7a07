"""Agreement: steps that are replayed from a graph compute what eager ones do, for every model of the matrix."""

from pathlib import Path
from typing import Any

import torch
import trainings
from safetensors.torch import load_file

from components.artifacts import Store
from components.config import load
from components.data import DatasetConfig, ShapesSource, write_shards

_MATRIX = Path(__file__).parents[1] / "end_to_end" / "model_matrix.yaml"
_STEPS = 6
_IN_THE_REHEARSAL = ("dcgan", "conv_vae")


def measure(scale: trainings.Scale, folder: Path) -> list[dict[str, Any]]:
    """Return, of each model, the greatest difference of a weight after a few steps, beside how far weights moved."""
    dataset = DatasetConfig(source=ShapesSource(images=160, raster_px=16, labels=True), size=16)
    shards = write_shards(dataset, Store(folder / "store"))
    matrix = load(_MATRIX)
    rows = []
    for name, model in matrix.models.items():
        if scale.small and name not in _IN_THE_REHEARSAL:
            continue
        weights = {}
        for step in ("eager", "graph"):
            execution = model.execution.model_copy(update={"step": step, "checkpoint_every": 10**9})
            images = _STEPS * model.training.batch
            training = model.training.model_copy(update={"images": images})
            job = trainings.job_of("dcgan", trainings.Scale(small=True), shards, folder / name / step, images)
            job = job.model_copy(
                update={"model": model.model_copy(update={"training": training, "execution": execution})}
            )
            curve = trainings.train(job, scale.device)
            weights[step] = load_file(job.folder / "checkpoints" / f"{images:012d}" / "state.safetensors")
            weights[step]["losses"] = torch.tensor([v for k, v in curve[0].items() if k.endswith("/loss")])
        rows.append({"model": name, **_differences(weights["eager"], weights["graph"])})
    return rows


def _differences(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> dict[str, float]:
    numbers = [key for key, tensor in one.items() if tensor.is_floating_point() and key.startswith("network/")]
    greatest = max((one[key] - other[key]).abs().max().item() for key in numbers)
    moved = max(tensor.abs().max().item() for key, tensor in one.items() if key.endswith("exp_avg"))
    first = (one["losses"] - other["losses"]).abs().max().item() / one["losses"].abs().max().item()
    return {"greatest difference": greatest, "greatest gradient": moved, "first report's loss, relative": first}
