"""A sweep that ran out of budget and was killed ends as one that was left alone, and as training by itself does."""

import json
import shutil
import time
from pathlib import Path

import httpx
import psutil
import pytest
import yaml
from mlflow import MlflowClient

pytestmark = [pytest.mark.smoke, pytest.mark.distributed, pytest.mark.timeout(600)]
VALUES = [1e-2, 1e30]  # the second diverges


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    """Three trials of a small VAE: as it is, at a higher rate, at one that cannot work."""
    vae = {
        "recipe": {"kind": "vae", "network": {"kind": "conv", "latent": 4, "width": 8}},
        "training": {"images": 960, "batch": 32, "validation": {"every": 160, "samples": 8}}
        | {"guard": {"skips": 1, "rollbacks": 0}},
        "execution": {"log_every": 160, "sample_every": 960, "checkpoint_every": 64},
        "evaluation": {"kind": "generation", "samples": 16},
        "promotion": {"metric": "reconstruction_psnr"},
    }
    content = {
        "name": "swept",
        "dataset": {"source": {"kind": "shapes", "images": 120}, "size": 16, "split": {"validation": 0.1, "test": 0.2}},
        "models": {"vae": vae},
        "sweep": {"model": "vae", "over": {"recipe.optimizer.rate": VALUES}, "rungs": 2, "seeds": 1},
    }
    path = tmp_path_factory.mktemp("configs") / "swept.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def new_home(migrated, tmp_path_factory):
    """Make a workspace with MLflow's tables in it."""

    def make(name: str) -> Path:
        home = tmp_path_factory.mktemp(name) / "home"
        home.mkdir()
        shutil.copy(migrated, home / "mlflow.db")
        return home

    return make


@pytest.fixture(scope="module")
def left_alone(call, served, config, new_home):
    home = new_home("left-alone")
    said = call("sweep", config, "--json", home=home, timeout_s=300, **served)
    assert said.returncode == 0, said.stderr
    return home, json.loads(said.stdout)


@pytest.fixture(scope="module")
def troubled(call, start, served, config, new_home):
    """Run out of budget, be killed while the second trial trains, then be continued; without other seeds."""
    home, command = new_home("troubled"), ("sweep", config, "--set", "sweep.seeds=0")
    spent = call(*command, "--set", "sweep.hours=1e-6", home=home, **served)
    process = start(*command, home=home, **served)
    deadline = time.monotonic() + 200
    while not marks(home) or len(list(home.glob("training/*/checkpoints/0*"))) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    for one in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
        one.kill()
    process.communicate(timeout=30)
    left = marks(home)
    said = call(*command, "--json", home=home, timeout_s=300, **served)
    assert said.returncode == 0, said.stderr
    return home, json.loads(said.stdout), spent, left


def marks(home: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(home.glob("store/records/sweeps/*/*.json"))]


def table(told: dict) -> dict:
    """Return all of the choice that does not say how long it took and where it lies."""
    return {name: value for name, value in told.items() if name not in {"hours", "page", "judged"}}


def test_a_spent_budget_ends_with_code_3_and_names_it(troubled):
    _, _, spent, _ = troubled
    assert spent.returncode == 3, spent.stderr
    assert "sweep.hours, 1e-06, spent by this sweep's trainings; resumable at" in spent.stderr
    assert "Traceback" not in spent.stderr


def test_a_killed_sweep_ends_with_the_same_table_and_the_same_model(troubled, left_alone):
    _, told, _, left = troubled
    _, expected = left_alone
    assert 0 < len(left) < 4, "it was killed on the way"
    assert table(told) == table(expected)
    assert told["best"] == 1
    assert [len(row["scores"]) for row in told["trials"]] == [2, 1, 1]


def test_the_trial_that_diverged_is_last_and_says_why(left_alone):
    last = left_alone[1]["trials"][-1]
    assert (last["trial"], last["scores"]) == (2, [None])
    assert "DivergedError" in last["reason"]


def test_the_best_is_judged_beside_the_configuration_as_it_is_with_a_seed_that_did_not_choose(left_alone):
    assert [(one["trial"], one["seed"], one["metric"]) for one in left_alone[1]["judged"]] == [
        (0, 18, "reconstruction_psnr"),
        (1, 18, "reconstruction_psnr"),
    ]


def test_training_alone_with_the_best_values_makes_the_same_model(call, served, config, left_alone):
    home, told = left_alone
    manifests = {path: json.loads(path.read_text()) for path in home.glob("store/checkpoint/*/manifest.json")}
    (mine,) = (path for path, known in manifests.items() if known["fields"]["export"] == told["export"])
    shutil.rmtree(mine.parent)
    overrides = [word for one in told["set"] for word in ("--set", one)]
    said = call("train", config, *overrides, home=home, **served)
    assert said.returncode == 0, said.stderr
    assert json.loads(mine.read_text())["fields"]["export"] == told["export"]


def test_losers_leave_nothing_but_the_configuration_as_it_is(troubled):
    home, _, _, _ = troubled
    assert len(list(home.glob("training/[0-9a-f]*"))) == 1


def test_mlflow_shows_the_trials_under_one_run_with_rank_and_values_and_each_point_once(troubled):
    from components.tracking import runs

    home, told, _, _ = troubled
    runs.configure(home)
    client = MlflowClient()
    found = client.search_runs([client.get_experiment_by_name("swept-vae").experiment_id])
    (parent,) = (run for run in found if "mlflow.parentRunId" not in run.data.tags)
    assert {run.data.tags["mlflow.parentRunId"] for run in found if run is not parent} == {parent.info.run_id}
    ranked = {run.data.tags["kintsugi.rank"]: run for run in found if "kintsugi.rank" in run.data.tags}
    values = {rank: run.data.tags["kintsugi.sweep.recipe.optimizer.rate"] for rank, run in ranked.items()}
    assert values == {"1": "0.01", "2": "0.001", "3": "1e+30"}
    points = client.get_metric_history(ranked["1"].info.run_id, "validation/reconstruction_error")
    assert [point.step for point in points] == [160 * number for number in range(1, 7)]
    assert parent.data.metrics["best/reconstruction_error"] == points[-1].value == told["trials"][0]["scores"][-1]
    assert [file.path for file in client.list_artifacts(parent.info.run_id, "page")] == [
        f"page/{Path(told['page']).name}"
    ]


def test_prefect_shows_each_trial_and_rung_as_a_task(left_alone, served):
    def found(kind: str, **conditions) -> list[str]:
        asked = {"flow_runs": {"name": {"like_": "swept · data 1 · sweep"}}, **conditions}
        return [one["name"] for one in httpx.post(f"{served['PREFECT_API_URL']}/{kind}/filter", json=asked).json()]

    done = {"task_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
    expected = {"trial 0 to rung 1", "trial 1 to rung 1", "trial 2 to rung 1", "trial 1 to rung 2"}
    expected |= {"judge trial 0, seed 18", "judge trial 1, seed 18"}
    deadline = time.monotonic() + 30
    while not expected <= set(found("task_runs", **done)):  # they arrive as events
        assert time.monotonic() < deadline, found("task_runs", **done)
        time.sleep(0.2)


def test_a_path_that_is_not_there_is_refused_before_anything_starts(call, config, new_home):
    home = new_home("mistaken")
    said = call("sweep", config, "--set", "sweep.over={recipe.optimiser.rate: [1e-3]}", home=home)
    assert said.returncode == 2
    assert "sweep.over: recipe.optimiser.rate=0.001: models.vae.recipe.optimiser: unknown key" in said.stderr
    assert not (home / "training").exists()
