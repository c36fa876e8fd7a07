"""With KINTSUGI_LOG=json every line of a run, its ranks' included, is a JSON object that says what it is about."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.flow, pytest.mark.timeout(400)]


def test_every_line_of_a_run_is_json_with_run_stage_model_and_rank(prefect_api, vae_only, migrated, tmp_path):
    command = [str(Path(sys.executable).with_name("kintsugi")), "train", str(vae_only)]
    command += ["--set", "models.vae.execution.step=graph"]  # of which a rank says when it has prepared a step
    environment = os.environ | {"KINTSUGI_HOME": str(tmp_path), "KINTSUGI_LOG": "json", "PREFECT_API_URL": prefect_api}
    (tmp_path / "mlflow.db").write_bytes(migrated.read_bytes())
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    of_rank = [line for line in lines if "rank" in line]
    assert of_rank, done.stderr
    assert {(line["run"], line["model"], line["stage"], line["rank"]) for line in of_rank} == {
        ("alone", "vae", "train", 0)
    }
    assert any(line["message"].startswith("train vae: ") for line in lines)
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
