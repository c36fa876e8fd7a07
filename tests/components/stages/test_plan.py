"""A plan says what a run would do and what it would reuse, and changes nothing."""

import subprocess
import sys

import pytest

from components.artifacts import SharedStore, Store
from components.artifacts.folder import FolderStorage
from components.artifacts.streaming import StreamingStore
from components.config import load
from components.data import write_corruption_set, write_shards
from components.evaluation.yardstick import begin
from components.stages.candidate import BASELINES, Checkpoint, Data, EvaluationSet, Scores
from components.stages.diary import Diary
from components.stages.inputs import checkpoint_inputs, scores_inputs
from components.stages.plan import plan
from components.stages.prepare import prepare
from components.stages.site import Site
from components.workspace import Workspace


@pytest.fixture
def run(root):
    return load(root / "tests" / "flows" / "mini.yaml")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def steps(home):
    """The steps of a run in a workspace where nothing was registered yet."""
    return lambda run, store: plan(run, "kintsugi run mini.yaml", store, home)


@pytest.fixture
def states(steps):
    return lambda run, store: {step.stage: step.state for step in steps(run, store)}


EXPORT = "0" * 20


def finish(run, name, store, shards):
    model = run.models[name]
    inputs = checkpoint_inputs(model, run.corruption, run.seed, shards)
    facts = {"family": model.recipe.kind, "images": model.training.images, "export": EXPORT}
    return store.materialise(Checkpoint, inputs, lambda draft: facts)


def measure(run, name, subject, store, judged_on):
    inputs = scores_inputs(run.models[name], subject, judged_on, run.seed)
    return store.materialise(Scores, inputs, lambda draft: {"subject": subject})


@pytest.fixture
def few(run):
    """A run whose generator would be judged by next to no images."""
    split = run.dataset.split.model_copy(update={"test": 0.01})
    dataset = run.dataset.model_copy(update={"split": split})
    return run.model_copy(update={"dataset": dataset, "corruption": None, "models": {"vae": run.models["vae"]}})


FEW = r"model 'vae'.* test images, but its scores need at least 16 test images; add images"


@pytest.mark.parametrize("is_sharded", [False, True])
def test_too_few_test_images_to_judge_a_generator_by_are_found_before_anything_runs(few, store, steps, is_sharded):
    if is_sharded:
        write_shards(few.dataset, store)
    with pytest.raises(ValueError, match=FEW):
        steps(few, store)


def test_where_nothing_is_judged_few_test_images_are_enough(few, store, home):
    site = Site(Workspace(home), store, "", "mini", lambda *facts: None)
    shards = write_shards(few.dataset, store)
    assert prepare(few, shards, site).shards == shards
    with pytest.raises(ValueError, match=FEW):
        prepare(few, shards, site, judged=True)


@pytest.mark.parametrize("is_sharded", [False, True])
def test_more_frozen_images_than_there_are_test_images_are_found_before_anything_runs(run, store, steps, is_sharded):
    frozen = run.corruption.frozen.model_copy(update={"images": 1_000})
    greedy = run.model_copy(update={"corruption": run.corruption.model_copy(update={"frozen": frozen})})
    if is_sharded:
        write_shards(run.dataset, store)
    words = r"corruption\.frozen\.images: 1,000 .* but " + ("the test split has" if is_sharded else "of .* files about")
    with pytest.raises(ValueError, match=words):
        steps(greedy, store)


def test_in_an_empty_store_everything_is_to_do_and_nothing_is_written(run, store, steps, home):
    found = steps(run, store)
    assert [(step.stage, step.state) for step in found] == [
        ("shard", "run"),
        ("yardstick", "run"),
        ("corrupt", "run"),
        *((f"{stage} vae", "run") for stage in ("train", "evaluate", "promote")),
        *((f"{stage} inpainter", "run") for stage in ("train", "evaluate", "promote")),
        ("publish", "run"),
    ]
    assert found[0].facts == "300 files, to 16 x 16 px"
    assert not store.root.exists()
    assert not list(home.iterdir())


def test_what_is_in_the_store_is_reused(run, store, states):
    shards = write_shards(run.dataset, store)
    write_corruption_set(shards, run.corruption.frozen, run.corruption.mix, run.seed, store)
    before = states(run, store)
    assert {stage for stage, state in before.items() if state == "reuse"} == {"shard", "corrupt"}
    finish(run, "vae", store, shards)
    assert states(run, store)["train vae"] == "reuse"
    assert states(run, store)["train inpainter"] == "run"


def test_another_way_of_carrying_it_out_reuses_a_training_and_another_length_does_not(run, store, root, states):
    path = root / "tests" / "flows" / "mini.yaml"
    finish(run, "vae", store, write_shards(run.dataset, store))
    assert states(load(path, ["models.vae.execution.processes=2"]), store)["train vae"] == "reuse"
    assert states(load(path, ["models.vae.training.images=3_200"]), store)["train vae"] == "run"
    assert states(load(path, ["seed=4"]), store)["train vae"] == "run"


def test_a_window_is_another_training_and_depends_on_the_tars(run, store, root, states):
    path = root / "tests" / "flows" / "mini.yaml"
    windowed = load(path, ["models.vae.training.window=4"])
    shards = write_shards(run.dataset, store)
    finish(run, "vae", store, shards)
    assert states(windowed, store)["train vae"] == "run"
    finish(windowed, "vae", store, shards)
    assert states(windowed, store)["train vae"] == "reuse"
    (first, *_), train = shards.splits["train"].shards, shards.splits["train"]
    other = train.model_copy(update={"shards": (first.model_copy(update={"sha256": "0" * 64}), *train.shards[1:])})
    elsewhere = shards.model_copy(update={"splits": {**shards.splits, "train": other}})
    inputs = [
        checkpoint_inputs(one.models["vae"], None, 3, those) for one in (run, windowed) for those in (shards, elsewhere)
    ]
    assert inputs[0] == inputs[1]
    assert inputs[2] != inputs[3]


def test_the_plan_says_what_streams_and_how_much_of_it_is_held(run, root, steps, tmp_path):
    remote = FolderStorage(tmp_path / "remote")
    write_shards(run.dataset, SharedStore(remote, tmp_path / "maker"))
    every = [f"models.{name}.training.window=2" for name in run.models]
    streamed = load(root / "tests" / "flows" / "mini.yaml", [*every, "streaming_cache=1GiB"])
    there = StreamingStore(remote, tmp_path / "here", streamed.streaming_cache)
    (shard,) = [step for step in steps(streamed, there) if step.stage == "shard"]
    assert shard.state == "reuse"
    assert shard.facts.endswith("16 x 16 px; fetched as needed, at most 1,073.7 MB held here")
    assert not list((tmp_path / "here").rglob("*.tar"))


def test_a_vae_does_not_depend_on_how_images_are_damaged_and_an_inpainter_does(run, store, root, states):
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


def test_the_plan_says_on_which_images_models_will_be_judged(run, store, steps):
    def said(run):
        return next(step for step in steps(run, store) if step.stage == "yardstick")

    assert said(run).facts == "the held-out images of today's data, pinned as a new evaluation set"
    shards = write_shards(run.dataset, store)
    begin(store, run.name, run.dataset, shards)
    today = said(grown(run))
    assert today.state == "reuse"
    assert today.facts.startswith(f"evaluation set 1: {shards.splits['test'].samples} held-out images of 16 px, pinned")
    assert "not pinned" in said(run.model_copy(update={"evaluation_set": "fresh"})).facts


def test_the_damage_of_the_pinned_images_is_reused_when_data_grew(run, store, states):
    shards = write_shards(run.dataset, store)
    begin(store, run.name, run.dataset, shards)
    write_corruption_set(shards, run.corruption.frozen, run.corruption.mix, run.seed, store)
    write_shards(grown(run).dataset, store)
    assert states(grown(run), store)["corrupt"] == "reuse"
    assert states(grown(run).model_copy(update={"evaluation_set": "fresh"}), store)["corrupt"] == "run"


def test_scores_are_reused_when_the_models_and_the_baselines_are_there(run, store, steps):
    def said():
        step = next(step for step in steps(run, store) if step.stage == "evaluate vae")
        return step.state, step.facts.split("; ")[0]

    shards = write_shards(run.dataset, store)
    judged_on = EvaluationSet(shards=shards, corruptions=None, pinned=None)
    measure(run, "vae", EXPORT, store, judged_on)
    assert said() == ("run", "the model, once it is trained, and baselines")
    finish(run, "vae", store, shards)
    assert said() == ("run", "to measure: baselines")
    measure(run, "vae", BASELINES, store, judged_on)
    assert said()[0] == "reuse"


def test_a_plan_says_where_too_few_pictures_are_drawn_to_see_copies(run, store, steps):
    write_shards(run.dataset, store)
    said = {step.stage: step.facts for step in steps(run, store)}
    drawn = run.models["vae"].evaluation.samples
    assert said["evaluate vae"].endswith(
        f"; one copy in 100 pictures may go unseen: {drawn} are drawn, there are too few real images"
    )
    assert "may go unseen" not in said["evaluate inpainter"]


def test_without_a_registry_a_measured_model_is_to_register_and_none_is_made(run, store, steps, home):
    shards = write_shards(run.dataset, store)
    finish(run, "vae", store, shards)
    for subject in (EXPORT, BASELINES):
        measure(run, "vae", subject, store, EvaluationSet(shards=shards, corruptions=None, pinned=None))
    said = next(step for step in steps(run, store) if step.stage == "promote vae")
    assert said.state == "run"
    assert said.facts == "not registered yet, judged by reconstruction_psnr; none in service yet"
    assert not list(home.iterdir())


def test_the_plan_says_that_a_night_would_be_skipped_and_why(run, store, steps):
    shards = write_shards(run.dataset, store)
    policy = run.retraining.model_copy(update={"skip_below": 0.5})
    sparing = run.model_copy(update={"retraining": policy})
    pinned = begin(store, run.name, run.dataset, shards)
    Diary(sparing, shards, store, "mini · data 1").finish(
        Data(shards, EvaluationSet(shards=shards, corruptions=None, pinned=pinned), None, None, run.seed)
    )
    (said,) = [step for step in steps(sparing, store) if step.state == "skip"]
    assert said.facts.startswith("0 images new and 0 gone, 0.00% of all since mini · data 1 of ")
    assert said.facts.endswith("the rest follows with kintsugi run --regardless")
    assert not [step for step in steps(run, store) if step.state == "skip"]


def test_the_plan_says_whose_weights_a_training_will_begin_with(run, store, steps):
    write_shards(run.dataset, store)
    policy = run.retraining.model_copy(update={"start": "champion"})
    said = {step.stage: step for step in steps(run.model_copy(update={"retraining": policy}), store)}
    assert said["train vae"].facts.endswith("; begins with the weights of the version in service, if there is one")
    assert said["train vae"].state == "run"


def test_a_plan_does_not_wait_for_mlflow_to_be_imported():
    program = "import sys, components.stages.plan; print('mlflow' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"
