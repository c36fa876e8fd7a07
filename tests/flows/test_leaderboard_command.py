"""A retraining leaves a leaderboard beside its page, and `kintsugi leaderboard` tells the same in the terminal."""

import json
import os
import subprocess
import sys

import pytest
from mlflow import MlflowClient

from components.report.older import read_content
from components.tracking import registry, runs

pytestmark = [pytest.mark.flow, pytest.mark.timeout(400)]


def told(home, *words: str) -> subprocess.CompletedProcess[str]:
    """Call `kintsugi leaderboard WORDS` in a process of its own."""
    command = [sys.executable, "-m", "flows.cli", "leaderboard", *words]
    environment = os.environ | {"KINTSUGI_HOME": str(home)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=110)


def test_a_retraining_renews_the_leaderboard_which_leads_to_its_page(published):
    pages = published.home / "pages"
    text = (pages / "leaderboard.html").read_text()
    assert "alone-vae" in text
    assert f'href="./{published.result.page.file_name}"' in text
    assert 'href="./leaderboard.html"' in (pages / "index.html").read_text()


def test_the_command_lists_versions_with_score_data_and_hours(published):
    done = told(published.home, "vae", "--json")
    assert done.returncode == 0, done.stderr
    (course,) = json.loads(done.stdout)
    first = course["rows"][-1]
    assert (course["name"], first["number"], first["data"], first["verdict"]) == ("alone-vae", 1, "1", "promote")
    assert 0 < first["hours"] < 1
    score = first["scores"][course["metric"]]
    assert score["low"] <= score["value"] <= score["high"]


def test_a_model_that_is_not_there_is_named_with_those_that_are(published):
    done = told(published.home, "dragon")
    assert done.returncode == 2
    assert done.stderr.strip() == "error: model dragon is not registered; there are: alone-vae"


def test_before_any_model_the_command_says_what_makes_some(tmp_path):
    done = told(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "no models yet; kintsugi run CONFIG makes some" in done.stdout


def test_what_the_stages_took_stands_on_the_page_and_in_mlflow(published, at):
    content = read_content((published.result.page.path / "page.json").read_bytes())
    train, evaluate, baselines = content.models[0].costs
    assert [train.stage, evaluate.stage, baselines.stage] == ["train", "evaluate", "baselines"]
    assert train.images == 1600
    assert 0 <= train.data_wait <= 1
    assert min(cost.core_s for cost in (train, evaluate, baselines)) > 0
    assert {cost.card_s for cost in content.models[0].costs} == {0}
    with at(published.home):
        runs.configure(published.home)
        metrics = MlflowClient().get_run(registry.run_of("alone-vae", 1)).data.metrics
    assert metrics["system/train_wall_hours"] == pytest.approx(train.wall_s / 3600)
    assert metrics["system/evaluate_core_hours"] == pytest.approx(evaluate.core_s / 3600)
    assert metrics["system/train_data_wait"] == pytest.approx(train.data_wait)
