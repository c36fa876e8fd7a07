"""A training sees none of the images on its list of those left out, and its weights say so."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from components import distributed
from components.config import ModelConfig
from components.data import ShardReader, ShardSet
from components.worker.jobs import TrainJob
from components.worker.train import train_to_the_end

HERE = distributed.World(rank=0, processes=1, local_rank=0, device=torch.device("cpu"))
MODEL = {
    "recipe": {"kind": "vae", "network": {"kind": "conv", "latent": 4, "width": 4}},
    "training": {"images": 64, "batch": 16},
    "execution": {"log_every": 16, "sample_every": 10**6, "checkpoint_every": 64},
    "evaluation": {"kind": "generation"},
    "promotion": {"metric": "fd_efficientnet_lite0"},
}
Trained = Callable[[list[str] | None], dict[str, torch.Tensor]]


@pytest.fixture
def trained(shards: ShardSet, tmp_path: Path) -> Trained:
    """Train without some images, and return the weights that are served."""

    def weights(left_out: list[str] | None) -> dict[str, torch.Tensor]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        (folder / "list.json").write_text(json.dumps(left_out))
        job = TrainJob(
            run="left-out",
            model=ModelConfig.model_validate(MODEL),
            seed=5,
            shards=shards.path,
            corruption=None,
            folder=folder,
            cache=tmp_path / "cache",
            left_out=None if left_out is None else folder / "list.json",
            tracking_run=None,
        )
        train_to_the_end(job, HERE, lambda: False)
        return load_file(next((folder / "export").glob("*.safetensors")))

    return weights


def test_leaving_images_out_makes_other_weights_and_an_empty_list_the_same(trained: Trained, shards: ShardSet) -> None:
    keys = ShardReader(shards, "train").keys
    whole, same, fewer = trained(None), trained([]), trained(keys[::3])
    assert all(torch.equal(whole[name], same[name]) for name in whole)
    assert any(not torch.equal(whole[name], fewer[name]) for name in whole)


def test_what_is_held_out_is_not_on_the_list_and_naming_it_changes_nothing(trained: Trained, shards: ShardSet) -> None:
    whole, other = trained(None), trained(list(ShardReader(shards, "test").keys))
    assert all(torch.equal(whole[name], other[name]) for name in whole)
