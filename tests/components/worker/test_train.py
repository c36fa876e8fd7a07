"""A rank's training, in this process: scores choose what leaves it, divergence goes back, a stop changes nothing."""

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file

from components import distributed, launch
from components.config import CorruptionConfig, ModelConfig
from components.corruption import CorruptionMix
from components.recipes import RecipeConfig
from components.recipes.export import read_card
from components.recipes.recipe import RecipeSection
from components.training.guard import DivergedError
from components.worker.jobs import TrainJob
from components.worker.train import train_to_the_end
from tests import examples

pytestmark = pytest.mark.slow
BATCH, STEPS = 16, 12
HERE = distributed.World(rank=0, processes=1, local_rank=0, device=torch.device("cpu"))
GENERATION = {"evaluation": {"kind": "generation"}, "promotion": {"metric": "fd_efficientnet_lite0"}}
RESTORATION = {"evaluation": {"kind": "restoration"}, "promotion": {"metric": "psnr_hole"}}
RECIPES = {
    "gan": {
        "kind": "gan",
        "generator": {"kind": "dcgan", "latent": 8, "width": 4},
        "discriminator": {"kind": "dcgan", "width": 4},
        "discriminator_optimizer": {"kind": "adam", "rate": 1e-2},
    },
    "gan by class": {
        "kind": "gan",
        "conditional": True,
        "generator": {"kind": "sngan_res", "latent": 8, "width": 8},
        "discriminator": {"kind": "sngan_res", "width": 8},
        "loss": {"kind": "hinge"},
        "discriminator_steps": 2,
    },
    "vae": {"kind": "vae", "network": {"kind": "conv", "latent": 8, "width": 4}},
    "inpainter": {
        "kind": "inpainter",
        "network": {"kind": "resnet", "width": 8, "blocks": 1},
        "optimizer": {"kind": "adam", "rate": 0.3},  # so high that the last is not the best
    },
}
RECIPES["gan with standing statistics"] = RECIPES["gan"] | {"statistics": "standing"}
KNOWN = [TypeAdapter(RecipeConfig).validate_python(recipe) for recipe in RECIPES.values()]
OTHERS = examples.beyond(KNOWN, (RecipeSection,))
RECIPES |= {name: examples.MATRIX.models[name].recipe.model_dump() for name in OTHERS}
WINNING = {"look_every": BATCH, "gap": 3.0, "patience": 1, "rollback_rate": 1e-3}  # found at the fourth step


@pytest.fixture
def job(shards, tmp_path) -> Callable[..., TrainJob]:
    """Return a training job in a folder of its own; options go into the training section."""

    def make(family: str, folder: str = "run", **training) -> TrainJob:
        training = {"images": STEPS * BATCH, "batch": BATCH, "ema": {"half_life_images": 1}} | training
        execution = {"log_every": BATCH, "sample_every": 10**6, "checkpoint_every": 2 * BATCH}
        recipe = TypeAdapter(RecipeConfig).validate_python(RECIPES[family])
        rest = RESTORATION if recipe.needs_corruption else GENERATION
        model = {"recipe": recipe, "training": training, "execution": execution} | rest
        (tmp_path / folder).mkdir(exist_ok=True)
        return TrainJob(
            run=family,
            model=ModelConfig.model_validate(model),
            seed=5,
            shards=shards.path,
            corruption=CorruptionConfig(mix=CorruptionMix()),
            folder=tmp_path / folder,
            cache=tmp_path / "cache",
            tracking_run=None,
        )

    return make


def train(job: TrainJob, *stops: int) -> None:
    """Train to the end, asked to stop after so many steps of each attempt first."""
    for steps in stops:
        asked = count()
        with pytest.raises(launch.Stopped, match="resumable at"):
            train_to_the_end(job, HERE, lambda asked=asked, steps=steps: next(asked) >= steps)
    train_to_the_end(job, HERE, lambda: False)


def scores(job: TrainJob) -> dict[int, float]:
    """Return the scores by images seen."""
    points = [json.loads(line) for line in (job.folder / "curve.jsonl").read_text().splitlines()]
    (name,) = {name for point in points for name in point if name.startswith("validation/")} - {"validation/spread"}
    return {point["images"]: point[name] for point in points if name in point}


def left_behind(job: TrainJob) -> tuple[bytes, bytes]:
    """Return the bytes of the last checkpoint and of the export."""
    last = job.folder / "checkpoints" / f"{STEPS * BATCH:012d}" / "state.safetensors"
    return last.read_bytes(), (job.folder / "export" / "model.safetensors").read_bytes()


def test_the_best_average_is_exported_and_not_the_last(job):
    best, last = (
        job("inpainter", select, validation={"every": 2 * BATCH, "samples": 8, "select": select})
        for select in ("best", "last")
    )
    for one in (best, last):
        train(one)
    found = scores(best)
    assert found == scores(last)
    assert list(found) == [2 * BATCH * number for number in range(1, STEPS // 2 + 1)]
    place = min(found, key=found.__getitem__)
    assert place < STEPS * BATCH  # else this test shows nothing
    assert read_card(best.folder / "export").images == place
    assert read_card(last.folder / "export").images == STEPS * BATCH
    kept, exported = ({**load_file(path)} for path in (_state(best), best.folder / "export" / "model.safetensors"))
    assert all(torch.equal(tensor, kept[f"best/{name}"]) for name, tensor in exported.items())
    assert any(not torch.equal(tensor, kept[f"average/producer/{name}"]) for name, tensor in exported.items())


@pytest.mark.parametrize("family", ["gan", "gan with standing statistics"])
def test_of_several_averages_the_best_is_exported_and_a_resumed_run_chooses_the_same(job, family):
    options = {
        "ema": {"half_life_images": 1, "ramp_fraction": 0, "beside": [8 * BATCH]},
        "validation": {"every": 2 * BATCH, "samples": 8},
    }
    whole, stopped = job(family, "whole", **options), job(family, "stopped", **options)
    train(whole)
    train(stopped, 3, 2)
    assert left_behind(whole) == left_behind(stopped)
    facts = json.loads((_state(whole).parent / "state.json").read_text())["best"]
    points = [json.loads(line) for line in (whole.folder / "curve.jsonl").read_text().splitlines()]
    chosen = {point["images"]: point["validation/half_life"] for point in points if "validation/half_life" in point}
    assert facts["half_life"] == chosen[facts["images"]]
    assert set(chosen.values()) <= {1, 8 * BATCH}
    tensors, exported = load_file(_state(whole)), load_file(whole.folder / "export" / "model.safetensors")
    assert all(torch.equal(tensor, tensors[f"best/{name}"]) for name, tensor in exported.items())
    apart = [f"average/producer@{8 * BATCH}/{name}" for name in exported if name.endswith("weight")]
    assert any(not torch.equal(tensors[name], tensors[name.replace(f"@{8 * BATCH}", "")]) for name in apart)


def _state(job: TrainJob) -> Path:
    return job.folder / "checkpoints" / f"{STEPS * BATCH:012d}" / "state.safetensors"


def test_a_conditional_training_that_was_stopped_ends_in_the_bytes_of_one_that_was_not(job, shards_of_classes):
    whole, stopped = (
        job("gan by class", folder).model_copy(update={"shards": shards_of_classes.path})
        for folder in ("whole", "stopped")
    )
    train(whole)
    train(stopped, 4, 3)  # the second time between the discriminator's two steps
    assert left_behind(stopped) == left_behind(whole)
    assert set(read_card(stopped.folder / "export").recipe.classes) == {"one figure", "two figures", "three figures"}


@pytest.mark.parametrize("family", ["vae", "inpainter", *OTHERS])
def test_scores_and_choice_are_those_of_an_uninterrupted_training(family, job):
    whole, stopped = (
        job(family, folder, validation={"every": 2 * BATCH, "samples": 8}) for folder in ("whole", "stopped")
    )
    train(whole)
    train(stopped, 3, 4, 1)
    assert scores(stopped) == scores(whole)
    assert left_behind(stopped) == left_behind(whole)


def test_a_training_that_stops_at_images_seen_goes_on_to_the_same_bytes(job):
    validation = {"every": 2 * BATCH, "samples": 8}
    whole, stopped = (job("inpainter", folder, validation=validation) for folder in ("whole", "stopped"))
    train(whole)
    for place, reached in ((2 * BATCH + 1, 3 * BATCH), (7 * BATCH, 7 * BATCH)):  # a stop comes after a whole step
        for _ in range(2):  # the second time it is there already
            with pytest.raises(launch.Stopped, match=f"resumable at {reached} of"):
                train_to_the_end(stopped.model_copy(update={"stop_at": place}), HERE, lambda: False)
    train(stopped.model_copy(update={"stop_at": STEPS * BATCH}))  # where it ends in any case
    assert left_behind(stopped) == left_behind(whole)
    assert scores(stopped) == scores(whole)


def test_scoring_changes_nothing_in_the_training(job):
    plain, scored = job("vae", "plain"), job("vae", "scored", validation={"every": BATCH, "select": "last"})
    for one in (plain, scored):
        train(one)
    assert left_behind(plain)[1] == left_behind(scored)[1]
    tensors = {name: tensor for name, tensor in load_file(_state(scored)).items() if not name.startswith("best/")}
    expected = load_file(_state(plain))
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in tensors.items())


def test_a_diverged_training_goes_back_and_on_at_a_lower_rate(job, caplog):
    one = job("gan", guard=WINNING)
    with caplog.at_level("INFO"):
        train(one)
    assert "Going back to the last good checkpoint" in caplog.text
    assert caplog.text.count("resumed at 32 of 192") == 1
    assert json.loads(_state(one).with_name("state.json").read_bytes())["guard"]["rollbacks"] == 1


@pytest.mark.parametrize("stops", [(1,), (3,), (3, 1), (5, 2), (1, 2, 3, 4)])
def test_going_back_is_the_same_for_a_training_that_was_stopped(stops, job):
    whole, stopped = (job("gan", folder, guard=WINNING) for folder in ("whole", "stopped"))
    train(whole)
    train(stopped, *stops)
    assert left_behind(stopped) == left_behind(whole)


def test_a_training_that_always_diverges_stops_with_the_reason(job):
    one = job("gan", guard=WINNING | {"rollback_rate": 0.999, "rollbacks": 2})
    with pytest.raises(DivergedError, match=r"discriminator tells real from made by .* gone back 2 times before"):
        train(one)


def test_pictures_that_are_all_the_same_count_as_a_collapse(job):
    one = job(
        "vae",
        validation={"every": BATCH, "samples": 8, "collapse": 0.9},
        guard={"patience": 2, "rollbacks": 0},
    )
    with pytest.raises(DivergedError, match=r"differ by no more than .*collapse, 0\.9, after 32 images and 2 looks"):
        train(one)
