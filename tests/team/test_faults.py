"""Servers and processes that go away in the middle of a night, each alone: the night ends well, and by itself."""

import json
import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.team.stack import Stack
from tests.team.unattended import Pile, Prefect, deploy, training_has_begun, write_config

pytestmark = [pytest.mark.team, pytest.mark.timeout(1800)]

NIGHTLY = "retrain/retrain-nightly"


@pytest.fixture(scope="module")
def prefect(servers: Stack) -> Prefect:
    return Prefect.of(servers)


@pytest.fixture(scope="module")
def config(servers: Stack, tmp_path_factory) -> Path:
    """A training of some half a minute, deployed."""
    if servers.command("status").returncode:
        servers.up()
    pile = Pile(tmp_path_factory.mktemp("photos"))
    pile.grow_to(150)
    path = write_config(tmp_path_factory.mktemp("configs") / "faults.yaml", pile, images=96_000, name="faults")
    deploy(servers, tmp_path_factory.mktemp("person"), path, nightly="")
    return path


def begin(prefect: Prefect, team: Stack, seed: int, *changes: str) -> str:
    """Start a night whose training is new, and return its run when training has written a checkpoint."""
    run = prefect.start(NIGHTLY, reason="by hand", overrides=[f"seed={seed}", *changes])
    prefect.wait(lambda: training_has_begun(team), 300)
    return run


def is_undisturbed(prefect: Prefect, run: str) -> bool:
    """Whether the run went through in one go."""
    return prefect.run(run)["run_count"] == 1 and not {"Failed", "Crashed"} & set(prefect.states(run))


@pytest.mark.parametrize(("service", "seconds", "seed"), [("prefect", 20, 11), ("mlflow", 90, 12), ("s3", 45, 13)])
def test_a_server_that_is_away_for_a_while_only_delays_the_night(team, prefect, config, service, seconds, seed):
    run = begin(prefect, team, seed)
    team.take_away(service, seconds)
    prefect.wait_for(run, "Completed", 600)
    assert is_undisturbed(prefect, run), prefect.states(run)


def test_a_training_whose_tracker_is_away_for_ten_minutes_loses_nothing_and_is_no_slower(team, prefect, config):
    images = 1_600_000
    run = begin(prefect, team, 17, f"models.vae.training.images={images}")
    prefect.wait(lambda: len(curve(team)) > 120, 300)
    there = curve(team)[20:]  # the first are slow everywhere
    team.take_away("mlflow", 600)
    away = curve(team)[20 + len(there) :]
    prefect.wait_for(run, "Completed", 900)
    assert is_undisturbed(prefect, run), prefect.states(run)
    speeds = [sum(point["images_per_s"] for point in part) / len(part) for part in (there, away)]
    print(f"MLflow there: {speeds[0]:,.0f} images/s; away for ten minutes: {speeds[1]:,.0f} images/s")
    login, api = f"worker:{team.settings['MLFLOW_WORKER_PASSWORD']}", f"{team.settings.url('mlflow')}/api/2.0/mlflow"
    trained = newest_training(team, api, login)
    for name in ("train/vae/loss", "train/images_per_s"):
        url = f"{api}/metrics/get-history?run_id={trained}&metric_key={name}&max_results=25000"
        steps = [int(point["step"]) for point in team.read(url, login)["metrics"]]
        assert sorted(steps) == list(range(640, images + 1, 640))


def curve(team: Stack) -> list[dict[str, float]]:
    """Return the points of the training under way."""
    (path,) = (team.settings.home / "worker" / "training").glob("*/curve.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def newest_training(team: Stack, api: str, login: str) -> str:
    experiment = team.read(f"{api}/experiments/get-by-name?experiment_name=faults-vae", login)["experiment"]
    wanted = {"experiment_ids": [experiment["experiment_id"]], "max_results": 1, "order_by": ["start_time DESC"]}
    return str(team.read(f"{api}/runs/search", login, wanted)["runs"][0]["info"]["run_id"])


def test_a_database_that_restarts_under_the_servers_only_delays_the_night(team, prefect, config):
    run = begin(prefect, team, 14)
    team.restart("postgres")
    team.wait_until_up()
    prefect.wait_for(run, "Completed", 600)


def test_a_killed_worker_leaves_no_rank_and_its_night_is_continued(team, prefect, config):
    run = begin(prefect, team, 15)
    worker = psutil.Process(team.pids()["worker"])
    below = worker.children(recursive=True)
    os.kill(worker.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(below, timeout=60)
    assert not alive
    prefect.wait_for(run, "Completed", 600)
    assert any("resumed at" in line for line in prefect.logs(run)), prefect.logs(run)


def test_of_two_nights_at_once_the_second_waits_for_the_first(team, prefect, config):
    first = begin(prefect, team, 16)
    second = prefect.start(NIGHTLY, reason="by hand", overrides=["seed=16"])
    prefect.wait_for(first, "Completed", 600)
    prefect.wait_for(second, "Completed", 600)
    assert prefect.run(first)["end_time"] <= prefect.run(second)["end_time"]
    assert len(list((team.settings.home / "worker" / "logs" / "train-vae").glob("*"))) >= 1
    assert is_undisturbed(prefect, first)


def test_new_pictures_start_a_night_by_themselves(team, prefect, config, tmp_path_factory):
    pile = Pile(tmp_path_factory.mktemp("grows"))
    pile.grow_to(150)
    path = write_config(tmp_path_factory.mktemp("configs") / "grows.yaml", pile, images=3_200, name="grows")
    deploy(team, tmp_path_factory.mktemp("person"), path, nightly="")
    prefect.wait_for(prefect.start("watch/watch"), "Completed", 120)
    pile.grow_to(170)
    prefect.wait_for(prefect.start("watch/watch"), "Completed", 120)
    prefect.wait(lambda: prefect.runs(name="grows · data 1 · new data"), 120)
    (run,) = prefect.runs(name="grows · data 1 · new data")
    prefect.wait_for(run["id"], "Completed", 300)
