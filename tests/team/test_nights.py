"""Nights that nobody watches, on the team's own servers: a schedule makes them, kills do not end them.

The tests stand on each other, in this order, as nights do. `make test` has the first two, `make team-test` all of them.
"""

import base64
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.team.stack import Stack
from tests.team.unattended import Pile, Prefect, write_config

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(900)]

KINTSUGI = str(Path(sys.executable).with_name("kintsugi"))
NIGHTLY = "retrain/retrain-nightly"
LONG = "models.vae.training.images=48_000"
SECOND = (
    "models.second={recipe: {kind: vae, network: {kind: conv, latent: 4, width: 12}}, "
    "training: {images: 48_000, batch: 32}, execution: {log_every: 640, checkpoint_every: 3_200}, "
    "evaluation: {kind: generation, samples: 16, baselines: [{kind: random}]}, "
    "promotion: {metric: reconstruction_psnr, must_beat_baselines: false}}",
    "models_at_once=2",
)
MENDER = (
    "corruption={mix: {masks: [{kind: boxes}]}, frozen: {images: 16, bins: [0.01, 0.2, 0.5]}}",
    "models={inpainter: {recipe: {kind: inpainter, network: {kind: resnet, width: 8, blocks: 1}}, "
    "training: {images: 640, batch: 32}, evaluation: {kind: restoration}, "
    "promotion: {metric: psnr_hole, must_beat_baselines: false}}}",
)


@pytest.fixture(scope="module")
def pile(tmp_path_factory) -> Pile:
    return Pile(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def config(pile, tmp_path_factory) -> Path:
    return write_config(tmp_path_factory.mktemp("configs") / "nights.yaml", pile, images=1_600)


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
    done = person("deploy", str(config), "--nightly", nightly, "--weekly", "", "--watch", "", "--drift", "")
    assert done.returncode == 0, done.stderr


def said(prefect: Prefect, run: str, words: str, times: int = 1) -> bool:
    """Whether the page of a run shows these words so often."""
    return sum(words in line for line in prefect.logs(run)) >= times


def wait_for_checkpoints(prefect: Prefect, team: Stack, trainings: int = 1) -> None:
    """Wait until so many trainings have written a checkpoint after their first step."""

    def begun() -> set[Path]:
        places = (team.settings.home / "worker" / "training").glob("*/checkpoints/*")
        return {place.parent for place in places if place.name.isdigit() and int(place.name)}

    prefect.wait(lambda: len(begun()) >= trainings, 180)


def test_a_schedule_makes_a_run_and_the_run_a_champion(team, prefect, person, config, pile):
    pile.grow_to(150)
    deployed(person, config, "* * * * *")
    prefect.wait(lambda: any(run["state"]["name"] == "Completed" for run in prefect.runs(auto_scheduled=True)), 300)
    prefect.pause(NIGHTLY)
    first = next(run for run in prefect.runs(auto_scheduled=True) if run["state"]["name"] == "Completed")
    assert first["name"] == "nights · data 1 · schedule"
    prefect.wait(lambda: said(prefect, first["id"], "train vae: 1,600 of 1,600"), 30)  # logs are sent in batches
    models = json.loads(person("models", "--json").stdout)
    assert [(model["name"], model["champion"]) for model in models] == [("nights-vae", 1)]


def test_a_power_cut_in_a_night_shuts_no_later_one_and_its_training_is_continued(team, prefect, person, pile):
    pile.grow_to(200)
    second = prefect.start(NIGHTLY, reason="new data", overrides=[LONG])
    wait_for_checkpoints(prefect, team)
    for pid in team.processes():  # supervisor, servers, worker, run and ranks at once
        os.kill(pid, signal.SIGKILL)
    pile.grow_to(250)
    team.up()
    third = prefect.start(NIGHTLY, reason="schedule")
    continued = prefect.wait_for(second, "Completed", 400)
    assert continued["name"] == "nights · data 2 · new data"
    assert "Crashed" in prefect.states(second)
    prefect.wait(lambda: said(prefect, second, "[rank 0] INFO components.worker.train: resumed at"), 30)
    assert prefect.wait_for(third, "Completed", 400)["name"] == "nights · data 3 · schedule"


def test_no_password_is_in_anything_that_the_nights_left(team, person):
    secrets = [secret.encode() for secret in team.secrets()]
    logins = [team.settings["PREFECT_AUTH"], team.settings["SERVE_AUTH"]]
    logins += [f"{name}:{team.settings[f'MLFLOW_{name.upper()}_PASSWORD']}" for name in ("admin", "worker", "reader")]
    headers = [base64.b64encode(login.encode()) for login in logins]
    places, told, found = [], set(), set()
    for place, content in team.traces():
        places.append(place)
        told |= {place} if "nights · data 1".encode() in content else set()
        found |= {place for secret in [*secrets, *headers] if secret in content}
    assert {"database prefect", "database mlflow"} <= told  # they are read as they are, and in full
    for kind in ("command line of", "artifacts/", "mlflow/", str(team.settings.logs)):
        assert any(place.startswith(kind) for place in places), kind
    assert found == set()


@pytest.mark.team
def test_a_worker_that_is_asked_to_stop_lets_both_its_trainings_write_a_checkpoint_and_go_on_later(team, prefect):
    run = prefect.start(NIGHTLY, reason="by hand", overrides=[LONG, *SECOND, "seed=2"])
    wait_for_checkpoints(prefect, team, trainings=2)
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
    prefect.wait(lambda: said(prefect, run, "resumed at", times=2), 30)


@pytest.mark.team
def test_a_spent_time_budget_is_no_failure_and_goes_on_by_itself(team, prefect):
    budget = ["models.vae.execution.time_budget_s=4", "models.vae.execution.resume_after_s=1"]
    run = prefect.start(NIGHTLY, reason="by hand", overrides=["models.vae.training.images=16_000", "seed=3", *budget])
    prefect.wait_for(run, "Completed", 400)
    assert "Resumable" in prefect.states(run)
    assert not {"Failed", "Crashed"} & set(prefect.states(run))


@pytest.mark.team
def test_a_spoiled_night_is_refused_and_so_is_a_rollback_to_it(team, prefect, person):
    before = champion(person)
    run = prefect.start(NIGHTLY, reason="by hand", overrides=["models.vae.training.images=32"])
    prefect.wait_for(run, "Completed", 300)
    prefect.wait(lambda: said(prefect, run, ": reject: "), 30)
    assert champion(person) == before
    newest = newest_version(team)
    assert newest > before
    refused = person("rollback", "nights-vae", "--to", str(newest))
    assert refused.returncode == 2, refused.stderr
    assert f"nights-vae version {newest}: the gate said reject" in refused.stderr
    assert champion(person) == before


def champion(person) -> int:
    models = json.loads(person("models", "--json").stdout)
    return next(int(model["champion"]) for model in models if model["name"] == "nights-vae")


def newest_version(team: Stack) -> int:
    login = f"worker:{team.settings['MLFLOW_WORKER_PASSWORD']}"
    url = f"{team.settings.url('mlflow')}/api/2.0/mlflow/model-versions/search?filter=name%3D%27nights-vae%27"
    return max(int(version["version"]) for version in team.read(url, login)["model_versions"])


@pytest.mark.team
def test_the_champion_is_scored_again_on_todays_pictures_and_an_event_tells_that_it_moved(team, prefect, pile):
    pile.spoil()
    run = prefect.start("rescore/rescore-champion-weekly")
    prefect.wait_for(run, "Completed", 300)
    prefect.wait(lambda: said(prefect, run, "moved: reconstruction_psnr is"), 30)
    prefect.wait(lambda: prefect.events("kintsugi.champion.moved"), 30)
    (event,) = prefect.events("kintsugi.champion.moved")
    assert event["resource"]["prefect.resource.id"] == "kintsugi.model.nights-vae"
    assert event["payload"]["now"][0] < event["payload"]["then"][0]


@pytest.mark.team
def test_a_second_person_mends_a_photo_with_the_teams_inpainter(team, prefect, person, tmp_path):
    run = prefect.start(NIGHTLY, reason="by hand", overrides=["name=menders", *MENDER])
    prefect.wait_for(run, "Completed", 300)
    photo, mask, mended = (tmp_path / name for name in ("photo.jpg", "mask.png", "mended.png"))
    Image.effect_noise((300, 200), 60).convert("RGB").save(photo)
    hole = Image.new("L", (300, 200))
    hole.paste(255, (100, 50, 140, 90))
    hole.save(mask)
    done = person("repair", str(photo), "--model", "menders-inpainter", "--mask", str(mask), "-o", str(mended))
    assert done.returncode == 0, done.stderr
    known, made, where = (np.asarray(Image.open(path)) for path in (photo, mended, mask))
    assert (made[where == 0] == known[where == 0]).all()
    assert (made[where == 255] != known[where == 255]).any()


@pytest.mark.team
def test_a_second_person_compares_any_two_nights_without_a_dash(team, person, tmp_path):
    known = re.findall(r"nights-[0-9a-f]{8}", person("compare", "nobody", "no one").stderr)
    assert len(known) >= 3
    for number, pair in enumerate(itertools.combinations(known[:4], 2)):
        page = tmp_path / f"{number}.html"
        done = person("compare", *pair, "-o", str(page))
        assert done.returncode == 0, done.stderr
        text = page.read_text()
        assert "Scores on evaluation set 1" in text
        assert "not measured under this protocol" not in text  # what a dash says


@pytest.mark.team
def test_a_rollback_brings_the_first_champion_back_bit_for_bit(team, person):
    before = champion(person)
    assert before > 1  # a better one came meanwhile
    made = [made_by(person, version) for version in (1, before)]
    assert made[0] != made[1]
    done = person("rollback", "nights-vae", "--to", "1")
    assert done.returncode == 0, done.stderr
    assert made_by(person, None) == made[0]
    undone = person("rollback", "nights-vae", "--to", str(before))
    assert undone.returncode == 0, undone.stderr


def made_by(person, version: int | None) -> bytes:
    """Return the pixels of a picture that a version makes, or the champion."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "made.png"
        which = [] if version is None else ["--version", str(version)]
        done = person("generate", "--model", "nights-vae", "-n", "4", "-o", str(picture), *which)
        assert done.returncode == 0, done.stderr
        return np.asarray(Image.open(picture)).tobytes()  # the file says when it was made


@pytest.mark.team
def test_a_byte_changed_in_the_bucket_is_found_by_a_deep_verify(team, person):
    whole = person("verify", "--deep")
    assert whole.returncode == 0, whole.stdout + whole.stderr
    store = team.bucket()
    listed = store.list_objects_v2(Bucket="kintsugi", Prefix="artifacts/shardset/")["Contents"]
    key = next(item["Key"] for item in listed if item["Key"].endswith(".tar"))
    kept = store.get_object(Bucket="kintsugi", Key=key)
    content = bytearray(kept["Body"].read())
    content[len(content) // 2] ^= 1
    store.put_object(Bucket="kintsugi", Key=key, Body=bytes(content), Metadata=kept["Metadata"])
    found = person("verify", "--deep")
    assert found.returncode == 1
    assert key.rpartition("/")[2] in found.stdout, found.stdout


@pytest.mark.team
def test_the_teams_pages_are_at_an_address_with_a_password(team):
    serve = team.settings.url("serve")
    assert team.ask(f"{serve}/") == 401
    assert team.ask(f"{serve}/", team.settings["SERVE_AUTH"]) == 200
    assert team.ask(f"{serve}/compare?run=nights&run=nights", team.settings["SERVE_AUTH"]) in {200, 400, 422}
