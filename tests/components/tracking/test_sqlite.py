"""A home's path may hold any character: the database and the files lie in it, and nowhere else."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient

from components.tracking import runs
from components.tracking.sqlite import sqlite_file, sqlite_uri


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_the_file_of_an_address_is_the_one_it_was_made_for(name: str) -> None:
    path = Path("/home") / name.strip("/.") / "mlflow.db"
    assert sqlite_file(sqlite_uri(path)) == path


def test_addresses_of_servers_are_no_files() -> None:
    assert sqlite_file("http://127.0.0.1:5000") is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["job%2Fbranch", "quest?ion & 100%"])
def test_a_home_with_signs_that_mean_something_in_addresses_works(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("KINTSUGI_DEFAULT_TRACKING_URI", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    home = tmp_path / name
    runs.configure(home)
    run = runs.open_run("kintsugi", "training", "digest")
    MlflowClient().log_text(run, "text", "note.txt")
    assert MlflowClient().get_run(run).data.tags["kintsugi.digest"] == "digest"
    assert sorted(path.name for path in home.iterdir()) == ["mlartifacts", "mlflow.db", "mlflow.db.lock"]
    assert len(list(home.rglob("note.txt"))) == 1
    assert [path.name for path in tmp_path.iterdir() if path.name != "here"] == [name]
    assert list((tmp_path / "here").iterdir()) == []
