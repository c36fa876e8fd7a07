"""Runs are found again, keep what was logged and no secrets."""

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from components.tracking import runs


def kept(run_id: str):
    return MlflowClient().get_run(run_id)


def test_a_run_of_the_same_digest_is_continued(store: Path) -> None:
    first = runs.open_run("kintsugi", "training", "d1", params={"a": 1})
    runs.finish_run(first, "KILLED")
    assert kept(first).info.status == "KILLED"
    assert runs.open_run("kintsugi", "training", "d1", params={"a": 1, "b": 2}) == first
    assert kept(first).info.status == "RUNNING"
    assert kept(first).data.params == {"a": "1", "b": "2"}
    assert runs.open_run("kintsugi", "training", "d2") != first
    assert runs.open_run("elsewhere", "training", "d1") != first


def test_a_run_is_found_by_its_digest_in_its_experiment_alone(store: Path) -> None:
    first = runs.open_run("kintsugi", "training", "d1")
    assert runs.run_of("kintsugi", "d1") == first
    assert runs.run_of("kintsugi", "d2") is None
    assert runs.run_of("elsewhere", "d1") is None


def test_a_changed_param_is_warned_of_and_the_first_value_kept(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = runs.open_run("kintsugi", "training", "d1", params={"a": 1})
    runs.open_run("kintsugi", "training", "d1", params={"a": 2})
    assert kept(run).data.params == {"a": "1"}
    assert "keeps the param a = 1; it is 2 now" in caplog.text


def test_a_child_hangs_under_its_parent(store: Path) -> None:
    parent = runs.open_run("kintsugi", "pipeline", "p")
    child = runs.open_run("kintsugi", "training", "c", parent=parent)
    assert kept(child).data.tags["mlflow.parentRunId"] == parent


def test_many_params_and_long_ones_are_kept(store: Path) -> None:
    params: dict[str, object] = {f"section.field_{number}": number for number in range(250)}
    run = runs.open_run("kintsugi", "training", "d", params={**params, "long": "x" * 7000})
    stored = kept(run).data.params
    assert len(stored) == 251
    assert stored["long"] == "7000 characters, in the file params/long.txt"
    assert mlflow.artifacts.load_text(f"runs:/{run}/params/long.txt") == "x" * 7000


def test_secrets_reach_neither_params_nor_tags_nor_datasets(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG")
    run = runs.open_run(
        "kintsugi",
        "training",
        "d",
        params={
            "source": "https://me:hunter22@host/a",
            "api_key": "hunter22",
            "note": "id AKIAIOSFODNN7EXAMPLE",
            "key": "wJalrXUtnFEMI/K7MDENG",
        },
        tags={"store": "s3://b?X-Amz-Signature=hunter22&x=1"},
    )
    runs.log_dataset(run, "pictures", "abc", "https://me:hunter22@host/set.zip", "training")
    text = str(kept(run).to_dictionary())
    assert "hunter22" not in text
    assert "wJalr" not in text
    assert "AKIA" not in text
    assert kept(run).data.params["source"] == "https://[redacted]@host/a"


def test_a_run_says_where_and_with_what_it_was_made(store: Path) -> None:
    tags = kept(runs.open_run("kintsugi", "training", "d")).data.tags
    assert tags["kintsugi.env.python"] == ".".join(map(str, sys.version_info[:3]))
    assert int(tags["kintsugi.env.cores"]) == os.cpu_count()
    assert {"kintsugi.env.torch", "kintsugi.env.mlflow", "kintsugi.env.graphics_cards", "mlflow.user"} <= tags.keys()


def test_a_dataset_is_shown_with_its_source(store: Path) -> None:
    run = runs.open_run("kintsugi", "training", "d")
    runs.log_dataset(run, "pictures", "ab" * 10, "s3://bucket/pictures", "training", profile={"samples": 7})
    (dataset,) = kept(run).inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("pictures", "ab" * 10)
    assert json.loads(dataset.dataset.profile) == {"samples": 7}
    assert dataset.tags[0].value == "training"
    assert mlflow.data.get_source(dataset).uri == "s3://bucket/pictures"


def test_a_dataset_digest_longer_than_mlflow_keeps_is_refused(store: Path) -> None:
    with pytest.raises(ValueError, match="40 characters; MLflow keeps at most 36"):
        runs.log_dataset("run", "pictures", "a" * 40, "/data", "training")


def test_files_lie_beside_the_database(store: Path, tmp_path: Path) -> None:
    run = runs.open_run("kintsugi", "training", "d")
    (tmp_path / "page.html").write_text("page")
    runs.log_files(run, tmp_path / "page.html", "report")
    assert [path.name for path in (store / "mlartifacts").rglob("page.html")] == ["page.html"]
    with pytest.raises(ValueError, match="found nothing"):
        runs.log_files(run, tmp_path / "absent")


def test_links_are_tags(store: Path) -> None:
    run = runs.open_run("kintsugi", "training", "d")
    runs.link_run(run, {"shards": "abc", "kintsugi.page": "p.html"})
    tags = kept(run).data.tags
    assert (tags["kintsugi.shards"], tags["kintsugi.page"]) == ("abc", "p.html")


def test_the_users_tracking_uri_wins(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert runs.configure(store) == f"sqlite:///{store / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert runs.configure(store) == "http://127.0.0.1:1"
    assert mlflow.get_tracking_uri() == "http://127.0.0.1:1"


def test_a_deleted_experiment_is_named_with_the_remedy(store: Path) -> None:
    runs.open_run("gone", "training", "d")
    MlflowClient().delete_experiment(MlflowClient().get_experiment_by_name("gone").experiment_id)
    with pytest.raises(ValueError, match="mlflow experiments restore --experiment-id"):
        runs.open_run("gone", "training", "d")


def test_importing_the_trackers_does_not_import_mlflow() -> None:
    code = "import sys, components.tracking; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_processes_that_configure_a_new_home_at_once_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    code = (
        "import sys; from pathlib import Path; from components.tracking import runs;"
        "runs.configure(Path(sys.argv[1])); print(runs.open_run('kintsugi', 'training', 'd'))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    answers = {process.communicate(timeout=100)[0] for process in started}
    assert len(answers) == 1
