"""Agreement: steps that are replayed from a graph compute what eager ones do, for every model of the matrix."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import trainings
from safetensors.torch import load_file
from trainings import Piece

from components.artifacts import Store
from components.config import ModelConfig, load
from components.data import DatasetConfig, ShapesSource, ShardSet, write_shards

_MATRIX = Path(__file__).parents[1] / "end_to_end" / "model_matrix.yaml"
_STEPS = 6
_IN_THE_REHEARSAL = ("dcgan", "conv_vae")


def pieces(scale: trainings.Scale, folder: Path) -> Iterator[Piece]:
    """Yield, of each model, the greatest difference of a weight after a few steps, and what tells whether it is much.

    Some operations add up in no fixed order on a card, so that two eager trainings differ, too.
    """
    dataset = DatasetConfig(source=ShapesSource(images=160, raster_px=16, labels=True), size=16)
    shards = write_shards(dataset, Store(folder / "store"))
    for name, model in load(_MATRIX).models.items():
        if scale.small and name not in _IN_THE_REHEARSAL:
            continue
        yield Piece({"model": name}, lambda m=model, n=name: _of(m, shards, folder / n, scale))


def _of(model: ModelConfig, shards: ShardSet, folder: Path, scale: trainings.Scale) -> dict[str, Any]:
    weights = {}
    for name, step in (("eager", "eager"), ("again", "eager"), ("graph", "graph")):
        execution = model.execution.model_copy(update={"step": step, "checkpoint_every": 10**9})
        images = _STEPS * model.training.batch
        training = model.training.model_copy(update={"images": images})
        job = trainings.job_of("dcgan", trainings.Scale(small=True), shards, folder / name, images)
        job = job.model_copy(update={"model": model.model_copy(update={"training": training, "execution": execution})})
        curve = trainings.train(job, scale.device)
        weights[name] = load_file(job.folder / "checkpoints" / f"{images:012d}" / "state.safetensors")
        weights[name]["losses"] = torch.tensor([v for k, v in curve[0].items() if k.endswith("/loss")])
    moved = max(tensor.abs().max().item() for key, tensor in weights["eager"].items() if key.endswith("exp_avg"))
    return {
        "greatest difference": _difference(weights["eager"], weights["graph"]),
        "of two eager ones": _difference(weights["eager"], weights["again"]),
        "greatest gradient": moved,
        "first report's loss, relative": _relative(weights["eager"]["losses"], weights["graph"]["losses"]),
    }


def _difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    numbers = [key for key, tensor in one.items() if tensor.is_floating_point() and key.startswith("network/")]
    return max((one[key] - other[key]).abs().max().item() for key in numbers)


def _relative(one: torch.Tensor, other: torch.Tensor) -> float:
    return (one - other).abs().max().item() / one.abs().max().item()
