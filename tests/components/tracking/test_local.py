"""What is read from MLflow's file is what MLflow itself says; where the file is not as expected, MLflow is asked."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from mlflow import MlflowClient

from components.tracking import local, registry
from components.tracking.standing import read_state


def test_the_file_says_what_mlflow_says(registered: Callable[..., int]) -> None:
    for value in (1, 2, 3):
        registered(value)
    registered(4, name="other")
    for version, against in ((1, None), (2, 1)):
        registry.record_decision("gan", version, "promote", ["better"], judged_against=against)
        registry.promote("gan", version, judged_against=against, by="gate")
    registry.record_decision("gan", 3, "reject", ["worse"], judged_against=2)
    registry.rollback("gan", to=1)
    client = MlflowClient()
    assert local.states() == {name: read_state(client, name) for name in ("gan", "other")}
    assert (local.is_registered("gan"), local.is_registered("dragon")) == (True, False)


def test_tables_of_another_version_of_mlflow_are_left_to_mlflow(registered: Callable[..., int], store: Path) -> None:
    registered(1)
    with closing(sqlite3.connect(store / "mlflow.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'another'")
    assert local.states() is None
    assert local.is_registered("gan") is None


def test_a_server_is_asked_itself(registered: Callable[..., int], monkeypatch) -> None:
    registered(1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert local.states() is None
