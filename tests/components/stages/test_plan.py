"""A plan says what a run would do and what it would reuse, and changes nothing."""

import pytest

from components.artifacts import Store
from components.config import load
from components.data import write_corruption_set, write_shards
from components.evaluation.yardstick import begin
from components.stages.candidate import Checkpoint
from components.stages.inputs import checkpoint_inputs
from components.stages.plan import plan


@pytest.fixture
def run(root):
    return load(root / "tests" / "flows" / "mini.yaml")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def states(run, store):
    return {step.stage: step.state for step in plan(run, store)}


def finish(run, name, store, shards):
    model = run.models[name]
    inputs = checkpoint_inputs(model, run.corruption, run.seed, shards)
    facts = {"family": model.recipe.kind, "images": model.training.images, "export": "0" * 20}
    return store.materialise(Checkpoint, inputs, lambda draft: facts)


def test_in_an_empty_store_everything_is_to_do_and_nothing_is_written(run, store):
    steps = plan(run, store)
    assert [(step.stage, step.state) for step in steps] == [
        ("shard", "run"),
        ("yardstick", "run"),
        ("corrupt", "run"),
        ("train vae", "run"),
        ("train inpainter", "run"),
    ]
    assert steps[0].facts == "300 files, to 16 x 16 px"
    assert not store.root.exists()


def test_what_is_in_the_store_is_reused(run, store):
    shards = write_shards(run.dataset, store)
    write_corruption_set(shards, run.corruption.frozen, run.corruption.mix, run.seed, store)
    assert states(run, store) == {
        "shard": "reuse",
        "yardstick": "run",
        "corrupt": "reuse",
        "train vae": "run",
        "train inpainter": "run",
    }
    finish(run, "vae", store, shards)
    assert states(run, store)["train vae"] == "reuse"
    assert states(run, store)["train inpainter"] == "run"


def test_another_way_of_carrying_it_out_reuses_a_training_and_another_length_does_not(run, store, root):
    path = root / "tests" / "flows" / "mini.yaml"
    finish(run, "vae", store, write_shards(run.dataset, store))
    assert states(load(path, ["models.vae.execution.processes=2"]), store)["train vae"] == "reuse"
    assert states(load(path, ["models.vae.training.images=3_200"]), store)["train vae"] == "run"
    assert states(load(path, ["seed=4"]), store)["train vae"] == "run"


def test_a_vae_does_not_depend_on_how_images_are_damaged_and_an_inpainter_does(run, store, root):
    shards = write_shards(run.dataset, store)
    finish(run, "vae", store, shards)
    finish(run, "inpainter", store, shards)
    other = load(root / "tests" / "flows" / "mini.yaml", ["corruption.mix.masks=[{kind: strokes}]"])
    assert states(other, store)["train vae"] == "reuse"
    assert states(other, store)["train inpainter"] == "run"


def grown(run):
    """The run with twice the pictures."""
    source = run.dataset.source.model_copy(update={"images": 600})
    return run.model_copy(update={"dataset": run.dataset.model_copy(update={"source": source})})


def test_the_plan_says_on_which_images_models_will_be_judged(run, store):
    def said(run):
        return next(step for step in plan(run, store) if step.stage == "yardstick")

    assert said(run).facts == "the held-out images of today's data, pinned as a new evaluation set"
    shards = write_shards(run.dataset, store)
    begin(store, run.name, run.dataset, shards)
    today = said(grown(run))
    assert today.state == "reuse"
    assert today.facts.startswith(f"evaluation set 1: {shards.splits['test'].samples} held-out images of 16 px, pinned")
    assert "not pinned" in said(run.model_copy(update={"evaluation_set": "fresh"})).facts


def test_the_damage_of_the_pinned_images_is_reused_when_data_grew(run, store):
    shards = write_shards(run.dataset, store)
    begin(store, run.name, run.dataset, shards)
    write_corruption_set(shards, run.corruption.frozen, run.corruption.mix, run.seed, store)
    write_shards(grown(run).dataset, store)
    assert states(grown(run), store)["corrupt"] == "reuse"
    assert states(grown(run).model_copy(update={"evaluation_set": "fresh"}), store)["corrupt"] == "run"
