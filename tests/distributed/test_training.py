"""Training by real processes: as many as you like compute the same, and whatever ends them, the same job goes on."""

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest
import torch
from pydantic import TypeAdapter
from safetensors.torch import load

from components import distributed, launch
from components.artifacts import Store
from components.config import CorruptionConfig, ModelConfig
from components.corruption import CorruptionMix
from components.data import DatasetConfig, ShapesSource, ShardSet, write_shards
from components.launch.persist import persist
from components.recipes import RecipeConfig
from components.section import digest_of
from components.training.checkpoint import newest_place
from components.training.guard import GuardConfig
from components.training.optimizer import AdamConfig
from components.worker.jobs import PROGRESS, TrainJob
from components.worker.program import program
from components.worker.train import train_to_the_end
from tests import examples

pytestmark = [pytest.mark.distributed, pytest.mark.slow, pytest.mark.timeout(300)]

PYTHONPATH = os.pathsep.join(str(Path(__file__).parents[above]) for above in (2, 0))
BATCH, STEPS, LONG = 16, 6, 24
BF16 = "residual vae in bf16"
ADAM = {"kind": "adam", "epsilon": 1e-4}
"""Adam divides by the size of the gradient: where that is rounding alone, a tiny epsilon makes whole steps of it."""
GENERATION = {"evaluation": {"kind": "generation"}, "promotion": {"metric": "fd_efficientnet_lite0"}}
RESTORATION = {"evaluation": {"kind": "restoration"}, "promotion": {"metric": "psnr_hole"}}


def adapted(model: ModelConfig) -> dict[str, object]:
    """Return a model of the matrix with such optimizers."""
    named = [name for name in ("optimizer", "discriminator_optimizer") if name in type(model.recipe).model_fields]
    recipe = model.recipe.model_copy(update=dict.fromkeys(named, AdamConfig.model_validate(ADAM)))
    return {"recipe": recipe, "evaluation": model.evaluation, "promotion": model.promotion}


MODELS = {
    "gan": GENERATION
    | {
        "recipe": {
            "kind": "gan",
            "optimizer": ADAM,
            "discriminator_optimizer": ADAM,
            "generator": {"kind": "dcgan", "latent": 8, "width": 4, "normalisation": "batch"},
            "discriminator": {"kind": "dcgan", "width": 4},
            "loss": {"kind": "non_saturating", "r1": 0.1, "r2": 0.1},
        }
    },
    "sngan_res by class": GENERATION
    | {
        "recipe": {
            "kind": "gan",
            "optimizer": ADAM,
            "discriminator_optimizer": ADAM,
            "conditional": True,
            "generator": {"kind": "sngan_res", "latent": 8, "width": 8},
            "discriminator": {"kind": "sngan_res", "width": 8},
            "loss": {"kind": "hinge"},
            "discriminator_steps": 2,
        }
    },
    "r3net": GENERATION
    | {
        "recipe": {
            "kind": "gan",
            "optimizer": ADAM,
            "discriminator_optimizer": ADAM,
            "generator": {"kind": "r3net", "latent": 8, "width": 32},
            "discriminator": {"kind": "r3net", "width": 32},
            "loss": {"kind": "relativistic"},
        }
    },
    "vae": GENERATION
    | {"recipe": {"kind": "vae", "optimizer": ADAM, "network": {"kind": "conv", "latent": 8, "width": 4}}},
    "residual vae": GENERATION
    | {
        "recipe": {
            "kind": "vae",
            "optimizer": ADAM,
            "network": {"kind": "residual", "latent": 32, "map_px": 4, "width": 16},
            "loss": {"free_bits": 0.1, "warm_up_images": 32},
            "mixture": {"components": 1},
        }
    },
    "vae by features": adapted(examples.MATRIX.models["vae_by_features"]),
    "inpainter": RESTORATION
    | {
        "recipe": {
            "kind": "inpainter",
            "optimizer": ADAM,
            "network": {"kind": "resnet", "width": 8, "blocks": 2},
            "adversary": {
                "optimizer": ADAM,
                "discriminator": {"width": 8, "layers": 2},
                "loss": {"feature_matching": 1.0},
            },
        }
    },
    "ffc": RESTORATION
    | {
        "recipe": {
            "kind": "inpainter",
            "optimizer": ADAM,
            "network": {"kind": "ffc", "width": 4, "blocks": 1},
            "restores": "everything",
            "adversary": {"optimizer": ADAM, "discriminator": {"width": 8, "layers": 2}},
        }
    },
    "pconv": RESTORATION
    | {"recipe": {"kind": "inpainter", "optimizer": ADAM, "network": {"kind": "pconv", "width": 4, "halvings": 2}}},
}
KNOWN = [TypeAdapter(RecipeConfig).validate_python(model["recipe"]) for model in MODELS.values()]
MODELS |= {name: adapted(examples.MATRIX.models[name]) for name in examples.beyond(KNOWN)}


def job_of(name: str, shards: ShardSet, folder: Path, steps: int = STEPS, **execution) -> TrainJob:
    training = {"images": steps * BATCH, "batch": BATCH}
    execution = {"log_every": BATCH, "sample_every": 10**6, "checkpoint_every": 2 * BATCH} | execution
    return TrainJob(
        run=name,
        model=ModelConfig.model_validate(MODELS[name] | {"training": training, "execution": execution}),
        seed=5,
        shards=shards.path,
        corruption=CorruptionConfig(mix=CorruptionMix()),
        folder=folder,
        cache=folder.parent / "cache",
        tracking_run=None,
    )


def replayed(job: TrainJob) -> TrainJob:
    """Return the same training with steps as they are captured on a GPU."""
    execution = job.model.execution.model_copy(update={"step": "graph"})
    return job.model_copy(update={"model": job.model.model_copy(update={"execution": execution})})


def run(
    job: TrainJob,
    processes: int,
    on_images: Callable[[int], None] = lambda images: None,
    module: str = "components.worker",
) -> None:
    """Train until it ends; `on_images` is told of each reported step."""

    def watch(line: str) -> None:
        _, found, text = line.partition(PROGRESS)
        if found:
            on_images(json.loads(text)["images"])

    launch_jobs([job], processes, module, watch)


def launch_jobs(
    jobs: Sequence[TrainJob], processes: int, module: str, watch: Callable[[str], None] | None = None
) -> None:
    """Run `module` in so many ranks, with the jobs' files as its arguments."""
    for job in jobs:
        job.folder.mkdir(parents=True, exist_ok=True)
        (job.folder / "job.json").write_text(job.model_dump_json())
    environment = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": PYTHONPATH}
    imports = program(Path(), {}).imports
    launch.launch_ranks(
        launch.Program(module, [str(job.folder / "job.json") for job in jobs], environment, imports),
        launch.Placement(processes),
        jobs[0].folder / "logs",
        limits=launch.Limits(timeout_s=240),
        on_line=watch,
    )


def train_here(job: TrainJob) -> None:
    """Train by one process, this one."""
    job.folder.mkdir(parents=True, exist_ok=True)
    train_to_the_end(
        job, distributed.World(rank=0, processes=1, local_rank=0, device=torch.device("cpu")), lambda: False
    )


def ranks() -> list[psutil.Process]:
    """Return the training processes below this one."""
    return [one for one in psutil.Process().children(recursive=True) if one.name() == "worker"]


def once(images: int, action: Callable[[], object]) -> Callable[[int], None]:
    """Return what does `action` when so many images have been seen for the first time."""
    left = [action]

    def on_images(seen: int) -> None:
        if seen >= images and left:
            left.pop()()

    return on_images


def final_bytes(job: TrainJob) -> bytes:
    return (job.folder / "checkpoints" / f"{job.model.training.images:012d}" / "state.safetensors").read_bytes()


def assert_equal_to_rounding(one: TrainJob, other: TrainJob) -> None:
    """Weights, averages and running statistics differ by less than 0.1 % or a hundredth of how far Adam can move."""
    expected, found = load(final_bytes(one)), load(final_bytes(other))
    assert expected.keys() == found.keys()
    rate = one.model.recipe.optimizer.rate
    for name, tensor in expected.items():
        if name.startswith(("network/", "average/")):
            message = lambda words, name=name: f"{name}: {words}"  # noqa: E731
            torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=0.01 * STEPS * rate, msg=message)


@pytest.fixture(scope="module")
def job_anywhere(shards, shards_of_classes) -> Callable[[str, Path], TrainJob]:
    """Return the short training of a model, or in bfloat16 that of the residual VAE, in a folder."""

    def job(name: str, folder: Path) -> TrainJob:
        if name == BF16:
            whole = job_of("residual vae", shards, folder)
            training = whole.model.training.model_copy(update={"precision": "bf16"})
            return whole.model_copy(update={"model": whole.model.model_copy(update={"training": training})})
        return job_of(name, shards_of_classes if name.endswith("by class") else shards, folder)

    return job


@pytest.fixture(scope="module")
def by_two(job_anywhere, tmp_path_factory) -> dict[str, TrainJob]:
    """All of them, trained by the same two processes, one after the other."""
    folder = tmp_path_factory.mktemp("two")
    jobs = {name: job_anywhere(name, folder / name / "run") for name in (*MODELS, BF16)}
    jobs |= {f"{name}, replayed": replayed(job_anywhere(name, folder / f"{name} replayed" / "run")) for name in MODELS}
    launch_jobs(list(jobs.values()), 2, "several_jobs")
    return jobs


@pytest.mark.parametrize("name", MODELS)
def test_two_processes_equal_one_on_the_joined_batch(name, job_anywhere, by_two, tmp_path):
    one, two = job_anywhere(name, tmp_path / "one"), by_two[name]
    train_here(one)
    assert_equal_to_rounding(one, two)
    assert_equal_to_rounding(one, by_two[f"{name}, replayed"])
    assert (two.folder / "export" / "model.safetensors").is_file()


def test_ranks_that_are_killed_while_they_replay_steps_go_on_to_the_same_bytes(shards, tmp_path):
    whole, killed = (
        replayed(job_of("inpainter", shards, tmp_path / name / "run", LONG)) for name in ("whole", "killed")
    )
    run(whole, 2)
    with pytest.raises(launch.LaunchFailed, match="SIGKILL"):
        run(killed, 2, once(7 * BATCH, lambda: ranks()[0].kill()))
    run(killed, 2)
    assert final_bytes(killed) == final_bytes(whole)


def test_a_vae_that_goes_by_features_and_is_killed_goes_on_to_the_same_bytes_of_weights_and_export(shards, tmp_path):
    whole, killed = (job_of("vae by features", shards, tmp_path / name / "run", LONG) for name in ("whole", "killed"))
    run(whole, 2)
    with pytest.raises(launch.LaunchFailed, match="SIGKILL"):
        run(killed, 2, once(7 * BATCH, lambda: ranks()[0].kill()))
    run(killed, 2)
    assert final_bytes(killed) == final_bytes(whole)
    models = [(job.folder / "export" / "model.safetensors").read_bytes() for job in (killed, whole)]
    shutil.rmtree(whole.folder / "export")  # as if it had been killed while the flow was fitted
    train_here(whole)
    models.append((whole.folder / "export" / "model.safetensors").read_bytes())
    assert models[0] == models[1] == models[2]
    assert not any("eye" in name for name in load(final_bytes(whole)))
    assert {name.split(".")[0] for name in load(models[0])} == {"vae", "flow"}


def test_one_two_and_four_processes_see_the_same_rows_in_the_same_order_and_end_alike(shards, tmp_path):
    jobs = {processes: job_of("inpainter", shards, tmp_path / f"{processes}") for processes in (1, 2, 4)}
    orders = {}
    for processes, job in jobs.items():
        run(job, processes, module="seen_worker")
        notes = [json.loads(path.read_text()) for path in job.folder.glob("seen-from-*.json")]
        rows = {int(place): row for note in notes for place, row in note.items()}
        assert len(notes) == processes
        assert sum(map(len, notes)) == len(rows) == STEPS * BATCH
        orders[processes] = digest_of([rows[place] for place in sorted(rows)])
    assert orders[1] == orders[2] == orders[4]
    assert_equal_to_rounding(jobs[1], jobs[2])
    assert_equal_to_rounding(jobs[1], jobs[4])


def test_two_processes_in_bfloat16_learn_as_one_does(job_anywhere, by_two, tmp_path):
    # Sums of rounded numbers depend on their order, so here the curves are compared and not the weights.
    one = job_anywhere(BF16, tmp_path / "one")
    train_here(one)
    curves = []
    for job in (one, by_two[BF16]):
        lines = (job.folder / "curve.jsonl").read_text().splitlines()
        curves.append([json.loads(line)["vae/bound_bits"] for line in lines])
    assert len(curves[0]) == STEPS
    assert curves[1] == pytest.approx(curves[0], rel=2e-3)
    assert curves[0][-1] < curves[0][0] - 0.1


def test_without_validation_images_a_restorer_leaves_an_empty_folder_of_pictures(tmp_path):
    split = {"validation": 0.0, "test": 0.2}
    dataset = DatasetConfig(source=ShapesSource(images=60, raster_px=16), size=16, split=split)
    job = job_of("pconv", write_shards(dataset, Store(tmp_path / "store")), tmp_path / "run", sample_every=BATCH)
    train_here(job)
    assert list((job.folder / "pictures").iterdir()) == []


@pytest.fixture(scope="module")
def uninterrupted(shards, tmp_path_factory) -> Callable[[int], bytes]:
    """Return the last checkpoint's bytes of an inpainter's training by so many processes."""
    made: dict[int, bytes] = {}

    def final(processes: int) -> bytes:
        if processes not in made:
            job = job_of("inpainter", shards, tmp_path_factory.mktemp("whole") / "run", LONG)
            run(job, processes)
            made[processes] = final_bytes(job)
        return made[processes]

    return final


def test_ranks_killed_at_random_instants_cost_time_and_nothing_else(shards, tmp_path, uninterrupted):
    job = job_of("inpainter", shards, tmp_path / "run", LONG)
    dice = random.Random(time.time_ns())
    for first_image in (3 * BATCH, 7 * BATCH):  # the second kill meets a training that was resumed
        with pytest.raises(launch.LaunchFailed, match="SIGKILL"):
            run(job, 2, once(first_image, lambda: (time.sleep(dice.uniform(0, 0.05)), dice.choice(ranks()).kill())))
        assert not (job.folder / "export").exists()
    run(job, 2)
    assert final_bytes(job) == uninterrupted(2)


def test_four_processes_stopped_and_resumed_end_in_the_same_bytes(shards, tmp_path, uninterrupted):
    job = job_of("inpainter", shards, tmp_path / "run", LONG, checkpoint_every=10**6)
    with pytest.raises(launch.Stopped, match=rf"resumable at [\d,]+ of {LONG * BATCH:,} images") as stopped:
        run(job, 4, once(5 * BATCH, lambda: ranks()[-1].send_signal(signal.SIGTERM)))
    (checkpoint,) = (job.folder / "checkpoints").iterdir()
    assert f"{int(checkpoint.name):,} of" in str(stopped.value)
    assert 5 * BATCH <= int(checkpoint.name) < LONG * BATCH
    run(job, 4)
    assert final_bytes(job) == uninterrupted(4)
    curve = [json.loads(line)["images"] for line in (job.folder / "curve.jsonl").read_text().splitlines()]
    assert curve == [BATCH * (step + 1) for step in range(LONG)]


def test_a_spent_time_budget_ends_in_a_checkpoint_that_another_number_of_processes_can_resume(shards, tmp_path):
    job = job_of("inpainter", shards, tmp_path / "run", 10**6, time_budget_s=0.3, checkpoint_every=10**6)
    with pytest.raises(launch.Stopped, match="resumable at"):
        run(job, 2)
    (checkpoint,) = (job.folder / "checkpoints").iterdir()
    reached = int(checkpoint.name)
    longer = job_of("inpainter", shards, tmp_path / "run", reached // BATCH + 2)
    train_here(longer)
    assert (job.folder / "checkpoints" / f"{reached + 2 * BATCH:012d}").is_dir()


def test_a_failing_rank_is_heard_and_its_words_kept(shards, tmp_path):
    job = job_of("gan", shards, tmp_path / "run").model_copy(update={"shards": tmp_path / "nowhere"})
    with pytest.raises(launch.LaunchFailed, match="nowhere"):
        run(job, 2)


def test_two_processes_go_back_together_when_the_discriminator_has_won(shards, tmp_path):
    job = job_of("gan", shards, tmp_path / "run")
    guard = GuardConfig(look_every=BATCH, gap=0.01, patience=3, rollbacks=1)  # found at once, and again after that
    training = job.model.training.model_copy(update={"guard": guard})
    job = job.model_copy(update={"model": job.model.model_copy(update={"training": training})})
    with pytest.raises(launch.LaunchFailed, match=r"DivergedError: discriminator tells .* gone back 1 times before"):
        run(job, 2)


def test_a_lost_rank_is_replaced_by_another_launch_from_the_last_checkpoint(shards, tmp_path, uninterrupted):
    job = job_of("inpainter", shards, tmp_path / "run", LONG)
    kill = once(7 * BATCH, lambda: random.choice(ranks()).kill())
    launches = []

    def attempt() -> None:
        launches.append(newest_place(job.folder / "checkpoints"))
        run(job, 2, kill)

    persist(attempt, lambda: newest_place(job.folder / "checkpoints"), relaunches=1)
    assert len(launches) == 2
    assert launches[1] >= 4 * BATCH
    assert final_bytes(job) == uninterrupted(2)


def test_a_full_disk_stops_all_ranks_in_a_state_that_can_be_resumed(shards, tmp_path, uninterrupted):
    job = job_of("inpainter", shards, tmp_path / "run", LONG)

    def fill() -> None:
        for rank in ranks():  # no file of theirs may grow beyond what their logs need
            rank.rlimit(psutil.RLIMIT_FSIZE, (20_000, 20_000))

    with pytest.raises(launch.Stopped, match=rf"the disk is full; resumable at [\d,]+ of {LONG * BATCH:,}") as stopped:
        run(job, 2, once(5 * BATCH, fill))
    place = max(int(path.name) for path in (job.folder / "checkpoints").iterdir())
    assert f"resumable at {place:,} of" in str(stopped.value)
    assert 4 * BATCH <= place < LONG * BATCH
    assert not list((job.folder / "checkpoints").glob(".*"))  # no half of a checkpoint takes up the last room
    run(job, 2)
    assert final_bytes(job) == uninterrupted(2)
