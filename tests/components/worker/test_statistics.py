"""A network that is told how training images' pixels go together keeps it, resumes with it and is served with it."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from components import distributed, launch
from components.artifacts import Store
from components.config import CorruptionConfig, ModelConfig, RunConfig
from components.corruption import CorruptionMix
from components.data import DatasetConfig, ShapesSource, ShardReader, ShardSet, write_shards
from components.data.statistics import pixel_statistics, statistics_digest
from components.recipes.export import load_producer
from components.stages.inputs import checkpoint_inputs
from components.stages.prepare import demand_images
from components.worker.jobs import TrainJob
from components.worker.train import train_to_the_end

HERE = distributed.World(rank=0, processes=1, local_rank=0, device=torch.device("cpu"))
NETWORK = {"kind": "unet", "widths": [4, 8], "blocks": [1, 1]}
GAUSSIAN = {**NETWORK, "fill": {"kind": "gaussian"}}


def model_of(network: dict[str, object], **evaluation: object) -> ModelConfig:
    return ModelConfig.model_validate(
        {
            "recipe": {"kind": "inpainter", "network": network},
            "training": {"images": 96, "batch": 16},
            "execution": {"log_every": 16, "sample_every": 10**6, "checkpoint_every": 32},
            "evaluation": {"kind": "restoration", **evaluation},
            "promotion": {"metric": "psnr_hole"},
        }
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def small(store: Store) -> ShardSet:
    return write_shards(DatasetConfig(source=ShapesSource(images=100, raster_px=16), size=8), store)


@pytest.fixture
def job(small: ShardSet, store: Store, tmp_path: Path) -> Callable[[str], TrainJob]:
    def make(folder: str) -> TrainJob:
        (tmp_path / folder).mkdir()
        return TrainJob(
            run="told",
            model=model_of(GAUSSIAN),
            seed=5,
            shards=small.path,
            corruption=CorruptionConfig(mix=CorruptionMix()),
            folder=tmp_path / folder,
            cache=tmp_path / "cache",
            statistics=pixel_statistics(small, store).path,
            tracking_run=None,
        )

    return make


def test_what_it_was_told_is_served_and_a_resumed_training_ends_in_the_same_bytes(job, small, store):
    whole, halted = job("whole"), job("halted")
    train_to_the_end(whole, HERE, lambda: False)
    asked = count()
    with pytest.raises(launch.Stopped, match="resumable at 48"):
        train_to_the_end(halted, HERE, lambda: next(asked) >= 3)
    train_to_the_end(halted, HERE, lambda: False)
    weights, resumed = (load_file(one.folder / "export" / "model.safetensors") for one in (whole, halted))
    assert all(torch.equal(weights[name], resumed[name]) for name in weights)
    known = pixel_statistics(small, store).arrays()
    assert all(np.array_equal(weights[f"fill.{name}"], values) for name, values in known.items())
    images = ShardReader(small, "test").images(range(4))
    missing = np.zeros(images.shape[:3], bool)
    missing[:, 2:5, 1:6] = True
    mended = load_producer(whole.folder / "export", HERE.device).restore(images, missing)
    assert np.abs(mended.astype(int) - images)[missing].mean() < 40


def test_the_statistics_are_among_what_determines_a_training_that_is_told_them_and_no_other(small):
    told, untold = (checkpoint_inputs(model_of(network), None, 1, small) for network in (GAUSSIAN, NETWORK))
    assert told["statistics"] == statistics_digest(small)
    assert "statistics" not in untold


@pytest.mark.parametrize(
    ("network", "baseline"), [(GAUSSIAN, "mean_fill"), (NETWORK, "training_gaussian")], ids=["network", "baseline"]
)
def test_too_few_images_are_refused_by_model_and_numbers_before_anything_is_trained(network, baseline, store):
    source = {"kind": "shapes", "images": 40, "raster_px": 16}
    run = RunConfig.model_validate(
        {
            "name": "few",
            "dataset": {"source": source, "size": 8},
            "corruption": {"mix": {}, "frozen": {"images": 5}},
            "models": {"mender": model_of(network, baselines=[{"kind": baseline}])},
        }
    )
    shards = write_shards(run.dataset, store)
    found = shards.splits["train"].samples
    with pytest.raises(
        ValueError, match=f"model 'mender': found {found} training images of 8 px, expected at least 64"
    ):
        demand_images(run, shards)
