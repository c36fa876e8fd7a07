"""The columns of MLflow's table are preset for an experiment, and links lead to them only where they are."""

import json

from mlflow import MlflowClient

from components.tracking import runs, view

COLUMNS = [view.column_of("tags", "kintsugi.decision"), view.column_of("metrics", "score/fd")]
SERVER = "http://team.example:5000"


def tags(run_id: str) -> dict[str, str]:
    client = MlflowClient()
    return client.get_experiment(client.get_run(run_id).info.experiment_id).tags


def test_an_address_names_the_view_once_the_experiment_has_it(store):
    run = runs.open_run("cats-gan", "night 1", "d1")
    assert "viewStateShareKey" not in view.address(SERVER, run)
    view.preset(run, COLUMNS, "All trainings")
    address = view.address(SERVER, run)
    assert address.startswith(f"{SERVER}/#/experiments/")
    assert address.endswith("compareRunsMode=CHART&viewStateShareKey=kintsugi")
    assert json.loads(tags(run)["mlflow.sharedViewState.kintsugi"])["selectedColumns"] == COLUMNS
    assert "viewStateShareKey=kintsugi)" in tags(run)["mlflow.note.content"]


def test_a_description_that_a_person_wrote_stays(store):
    run = runs.open_run("cats-gan", "night 1", "d1")
    client = MlflowClient()
    client.set_experiment_tag(client.get_run(run).info.experiment_id, "mlflow.note.content", "ours")
    view.preset(run, COLUMNS, "All trainings")
    view.preset(run, COLUMNS[:1], "All trainings")
    assert tags(run)["mlflow.note.content"] == "ours"
    assert json.loads(tags(run)["mlflow.sharedViewState.kintsugi"])["selectedColumns"] == COLUMNS[:1]
