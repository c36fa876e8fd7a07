"""Nights that nobody watches, on the team's own servers: a schedule makes them, kills do not end them.

The tests stand on each other, in this order, as nights do.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.team.stack import Stack
from tests.team.unattended import Pile, Prefect, write_config

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(900)]

KINTSUGI = str(Path(sys.executable).with_name("kintsugi"))
NIGHTLY = "retrain/retrain-nightly"
LONG = "models.vae.training.images=96_000"


@pytest.fixture(scope="module")
def pile(tmp_path_factory) -> Pile:
    return Pile(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def config(pile, tmp_path_factory) -> Path:
    return write_config(tmp_path_factory.mktemp("configs") / "nights.yaml", pile, images=6_400)


@pytest.fixture(scope="module")
def person(servers, tmp_path_factory):
    """Call a command as a person at the team's servers, with an empty home."""
    home = tmp_path_factory.mktemp("person")

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "KINTSUGI_"))}
        environment = {**kept, **servers.client(), "KINTSUGI_HOME": str(home)}
        return subprocess.run(
            [KINTSUGI, *words], env=environment, capture_output=True, text=True, check=False, timeout=600
        )

    return call


@pytest.fixture(scope="module")
def prefect(servers) -> Prefect:
    return Prefect(f"{servers.settings.url('prefect')}/api", servers.settings["PREFECT_AUTH"])


def deployed(person, config: Path, nightly: str) -> None:
    done = person("deploy", str(config), "--nightly", nightly, "--weekly", "", "--watch", "")
    assert done.returncode == 0, done.stderr


def training_of(team: Stack) -> Path:
    """Return the folder of the training under way."""
    (folder,) = (path for path in (team.settings.home / "worker" / "training").iterdir() if path.is_dir())
    return folder


def wait_for_checkpoint(prefect: Prefect, team: Stack) -> int:
    """Wait until a training has written a checkpoint after its first step; return how many images it had seen."""

    def places() -> list[int]:
        folders = (team.settings.home / "worker" / "training").glob("*/checkpoints/*")
        return [int(path.name) for path in folders if path.name.isdigit() and int(path.name)]

    prefect.wait(places, 180)
    return max(places())


def test_a_schedule_makes_a_run_and_the_run_a_champion(team, prefect, person, config, pile):
    pile.grow_to(150)
    deployed(person, config, "* * * * *")
    prefect.wait(lambda: any(run["state"]["name"] == "Completed" for run in prefect.runs(auto_scheduled=True)), 300)
    deployed(person, config, "")
    first = next(run for run in prefect.runs(auto_scheduled=True) if run["state"]["name"] == "Completed")
    assert first["name"] == "nights · data 1 · schedule"
    said = prefect.logs(first["id"])
    assert any(line.startswith("train vae: 6,400 of 6,400") for line in said), said
    models = json.loads(person("models", "--json").stdout)
    assert [(model["name"], model["champion"]) for model in models] == [("nights-vae", 1)]


def test_a_power_cut_in_a_night_shuts_no_later_one_and_its_training_is_continued(team, prefect, person, pile):
    pile.grow_to(200)
    second = prefect.start(NIGHTLY, reason="new data", overrides=[LONG])
    wait_for_checkpoint(prefect, team)
    for pid in team.processes():  # supervisor, servers, worker, run and ranks at once
        os.kill(pid, signal.SIGKILL)
    pile.grow_to(250)
    team.up()
    third = prefect.start(NIGHTLY, reason="schedule")
    continued = prefect.wait_for(second, "Completed", 400)
    assert continued["name"] == "nights · data 2 · new data"
    assert "Crashed" in prefect.states(second)
    assert any("resumed at" in line for line in prefect.logs(second)), prefect.logs(second)
    assert prefect.wait_for(third, "Completed", 400)["name"] == "nights · data 3 · schedule"


def test_a_worker_that_is_asked_to_stop_lets_its_training_write_a_checkpoint_and_go_on_later(team, prefect):
    run = prefect.start(NIGHTLY, reason="by hand", overrides=[LONG, "seed=2"])
    wait_for_checkpoint(prefect, team)
    worker = psutil.Process(team.pids()["worker"])
    below = worker.children(recursive=True)
    began = time.monotonic()
    worker.terminate()  # what systemd, supervisord and `docker compose down` send
    psutil.wait_procs([worker, *below], timeout=60)
    took_s = time.monotonic() - began
    assert not [process for process in below if process.is_running()]
    assert took_s < 45
    done = prefect.wait_for(run, "Completed", 400)
    assert "Resumable" in prefect.states(run)
    assert not {"Failed", "Crashed"} & set(prefect.states(run))
    assert done["run_count"] == 2
    assert any("resumed at" in line for line in prefect.logs(run))


def test_a_spent_time_budget_is_no_failure_and_goes_on_by_itself(team, prefect):
    budget = ["models.vae.execution.time_budget_s=4", "models.vae.execution.resume_after_s=1"]
    run = prefect.start(NIGHTLY, reason="by hand", overrides=["models.vae.training.images=32_000", "seed=3", *budget])
    prefect.wait_for(run, "Completed", 400)
    assert "Resumable" in prefect.states(run)
    assert not {"Failed", "Crashed"} & set(prefect.states(run))
