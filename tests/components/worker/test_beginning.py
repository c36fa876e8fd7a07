"""A training that begins with another's weights: which they are, what stays still, and that a kill changes nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file

from components import distributed
from components.config import CorruptionConfig, ModelConfig
from components.corruption import CorruptionMix
from components.recipes import RecipeConfig
from components.recipes.export import read_card
from components.recipes.recipe import PRODUCER, Recipe
from components.worker.beginning import begun_from
from components.worker.jobs import Origin, TrainJob
from components.worker.train import train_to_the_end
from tests import examples

pytestmark = pytest.mark.slow
BATCH, STEPS = 16, 12
HERE = distributed.World(rank=0, processes=1, local_rank=0, device=torch.device("cpu"))
GAN = {
    "kind": "gan",
    "generator": {"kind": "dcgan", "latent": 8, "width": 4},
    "discriminator": {"kind": "dcgan", "width": 4, "normalisation": "spectral"},
}
JUDGED = {
    "dcgan": GAN,
    "sngan_res": GAN | {"discriminator": {"kind": "sngan_res", "width": 8}},
    "r3net": GAN | {"discriminator": {"kind": "r3net", "width": 8, "blocks": 1}},
    "patch": {
        "kind": "inpainter",
        "network": {"kind": "resnet", "width": 8, "blocks": 1},
        "adversary": {"discriminator": {"kind": "patch", "width": 4, "layers": 2}},
    },
}
OTHERS = [
    name
    for name in examples.beyond([TypeAdapter(RecipeConfig).validate_python(recipe) for recipe in JUDGED.values()])
    if "discriminator" in examples.RECIPES[name].build(16, 1).networks
]

Make = Callable[..., TrainJob]


@pytest.fixture
def job(shards, tmp_path) -> Make:
    """Return a training job in a folder of its own; options go into the training section."""

    def make(folder: str, recipe: dict | object = GAN, origin: Origin | None = None, **training) -> TrainJob:
        parsed = TypeAdapter(RecipeConfig).validate_python(recipe)
        judge = {"extractor": {"kind": "efficientnet_lite2"}}  # no discriminator looks through this one
        rest = {
            "evaluation": {"kind": "generation", "fidelity": judge},
            "promotion": {"metric": "fd_efficientnet_lite2"},
        }
        if parsed.needs_corruption:
            rest = {"evaluation": {"kind": "restoration"}, "promotion": {"metric": "psnr_hole"}}
        training = {"images": STEPS * BATCH, "batch": BATCH, "ema": {"half_life_images": 32}} | training
        execution = {"log_every": BATCH, "sample_every": 10**6, "checkpoint_every": BATCH}
        (tmp_path / folder).mkdir(exist_ok=True)
        return TrainJob(
            run="same",
            model=ModelConfig.model_validate({"recipe": parsed, "training": training, "execution": execution} | rest),
            seed=5,
            shards=shards.path,
            corruption=CorruptionConfig(mix=CorruptionMix()),
            folder=tmp_path / folder,
            cache=tmp_path / "cache",
            origin=origin,
            tracking_run=None,
        )

    return make


def finish(job: TrainJob) -> Path:
    """Train to the end, and return the folder of the last checkpoint."""
    train_to_the_end(job, HERE, lambda: False)
    return max(path for path in (job.folder / "checkpoints").iterdir() if path.name.isdigit())


def origin(job: TrainJob, last: Path, frozen_layers: int = 0) -> Origin:
    images = read_card(job.folder / "export").images
    seen = STEPS * BATCH
    return Origin(name="cats version 1", checkpoint=last, images=images, seen=seen, frozen_layers=frozen_layers)


def begun(job: TrainJob, whence: Origin) -> Recipe:
    return begun_from(whence, job.model.recipe.build(16, job.seed))


def left_behind(job: TrainJob) -> tuple[bytes, bytes]:
    """Return the bytes of the last checkpoint and of the export."""
    last = job.folder / "checkpoints" / f"{STEPS * BATCH:012d}" / "state.safetensors"
    return last.read_bytes(), (job.folder / "export" / "model.safetensors").read_bytes()


def test_the_producer_begins_as_it_was_exported_and_the_discriminator_as_it_was_left(job):
    first = job("first")
    last = finish(first)
    weights = begun(first, origin(first, last)).networks.state_dict()
    exported, state = load_file(first.folder / "export" / "model.safetensors"), load_file(last / "state.safetensors")
    for name, tensor in weights.items():
        network, _, key = name.partition(".")
        expected = exported[key] if network == PRODUCER else state[f"network/{name}"]
        assert torch.equal(tensor, expected), name
    assert any(not torch.equal(exported[key], state[f"network/{PRODUCER}.{key}"]) for key in exported)


def test_of_a_training_that_exported_its_best_average_that_one_is_taken(job):
    first = job("first", validation={"every": BATCH, "samples": 8}, ema={"half_life_images": 1})
    last = finish(first)
    whence = origin(first, last)
    best = json.loads((last / "state.json").read_text())["best"]
    assert whence.images == best["images"]
    exported = load_file(first.folder / "export" / "model.safetensors")
    weights = begun(first, whence).networks[PRODUCER].state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in exported.items())


def test_the_optimizer_and_the_count_of_images_are_new_and_the_end_is_another(job):
    first = job("first")
    second = job("second", origin=origin(first, finish(first)))
    state = json.loads((finish(second) / "state.json").read_text())
    assert state["images"] == STEPS * BATCH
    points = [json.loads(line)["images"] for line in (second.folder / "curve.jsonl").read_text().splitlines()]
    assert points[0] == BATCH
    assert left_behind(first) != left_behind(second)


@pytest.mark.parametrize("name", [*JUDGED, *OTHERS])
def test_frozen_layers_keep_their_weights_to_the_bit_and_the_others_learn(name, job):
    recipe = JUDGED.get(name) or examples.RECIPES[name]
    first = job("first", recipe)
    whence = origin(first, finish(first), frozen_layers=1)
    second = job("second", recipe, whence)
    before = begun(second, whence)
    judge = before.networks["discriminator"]
    still = {id(parameter) for parameter in judge.layers()[0].parameters()}
    frozen = {key for key, parameter in judge.named_parameters() if id(parameter) in still}
    assert frozen
    after = load_file(finish(second) / "state.safetensors")
    named = {key: after[f"network/discriminator.{key}"] for key, _ in judge.named_parameters()}
    moved = {key for key, weight in judge.named_parameters() if not torch.equal(weight, named[key])}
    assert not frozen & moved
    assert moved


def test_more_frozen_layers_than_there_are_before_the_last_are_refused(job):
    first = job("first")
    whence = origin(first, finish(first), frozen_layers=3)
    with pytest.raises(
        ValueError, match=r"retraining\.frozen_layers is 3, but the network of phase discriminator has 2"
    ):
        begun(first, whence)


def test_weights_of_another_network_are_refused_with_the_part_that_differs(job):
    first = job("first")
    whence = origin(first, finish(first))
    wider = job("wider", GAN | {"discriminator": {"kind": "dcgan", "width": 8, "normalisation": "spectral"}})
    with pytest.raises(
        ValueError, match=r"weights of cats version 1: discriminator\..*: found shape .*, expected shape"
    ):
        begun(wider, whence)


def test_a_damaged_checkpoint_is_refused(job):
    first = job("first")
    last = finish(first)
    content = bytearray((last / "state.safetensors").read_bytes())
    content[-1] ^= 1
    (last / "state.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="not a whole checkpoint"):
        begun(first, origin(first, last))


def test_a_training_that_was_killed_ends_in_the_bytes_of_one_that_was_not(job):
    first = job("first")
    whence = origin(first, finish(first), frozen_layers=1)
    whole, killed = job("whole", origin=whence), job("killed", origin=whence)
    finish(whole)
    file = killed.folder / "job.json"
    file.write_text(killed.model_dump_json())
    places = kill_at(file, 4 * BATCH)
    assert places, "killed before its first checkpoint"
    assert max(places) < STEPS * BATCH
    subprocess.run(worker(file), env=variables(), check=True, capture_output=True)
    assert left_behind(killed) == left_behind(whole)


def worker(file: Path) -> list[str]:
    return [sys.executable, "-m", "components.worker", str(file)]


def variables() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}


def kill_at(file: Path, images: int) -> list[int]:
    """Start a rank, kill it as soon as it has seen so many images, and return where its checkpoints are."""
    with subprocess.Popen(worker(file), env=variables(), stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if f'"images": {images},' in line:
                break
        process.kill()
    return [int(path.name) for path in (file.parent / "checkpoints").iterdir() if path.name.isdigit()]
