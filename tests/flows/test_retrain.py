"""Retraining chains the stages, shows what it did in Prefect and MLflow, and does nothing twice."""

import json
import re
import time
from itertools import pairwise

import pytest
from mlflow import MlflowClient
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
)

from components.tracking import registry, runs

pytestmark = [pytest.mark.flow, pytest.mark.timeout(400)]

ORDER = [
    "shard",
    "prepare",
    *("train vae", "evaluate vae", "promote vae"),  # in service before the next one is begun
    *("train inpainter", "evaluate inpainter", "promote inpainter"),
    "publish",
    "record",
]


@pytest.fixture
def tracked(retrained, at):
    """The one run of each experiment in MLflow, by the experiment's name."""
    with at(retrained.home):
        runs.configure(retrained.home)
        yield tracked_runs()


def tracked_runs():
    client = MlflowClient()
    found = {one.name: client.search_runs([one.experiment_id]) for one in client.search_experiments()}
    assert all(len(kept) == 1 for name, kept in found.items() if name.startswith("mini"))
    return {name: kept[0] for name, kept in found.items() if name.startswith("mini")}


def task_runs_of(flow_run, expected: int):
    """Wait for the server to have recorded so many task runs: they arrive as events, after the flow has ended."""
    deadline = time.monotonic() + 60
    with get_client(sync_client=True) as client:
        while True:
            found = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run])))
            if len(found) >= expected or time.monotonic() > deadline:
                return sorted(found, key=lambda run: run.start_time or run.created)
            time.sleep(0.5)


def test_retraining_completes_all_stages_in_order_one_task_per_model(retrained):
    assert retrained.state.is_completed(), retrained.state
    tasks = task_runs_of(retrained.flow_run, len(ORDER))
    assert [re.sub(r"-[0-9a-f]+$", "", task.name) for task in tasks] == ORDER
    assert all(first.end_time <= second.start_time for first, second in pairwise(tasks))


def test_a_flow_run_is_called_by_configuration_data_and_reason(retrained):
    with get_client(sync_client=True) as client:
        assert client.read_flow_run(retrained.flow_run).name == "mini · data 1 · by hand"


def test_prefect_shows_scores_decisions_the_page_and_pictures(retrained):
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[retrained.flow_run]))
        )
    by_key = {artifact.key: artifact for artifact in found if artifact.key}
    kinds = {key: artifact.type for key, artifact in by_key.items()}
    assert {key for key, kind in kinds.items() if kind == "table"} == {"mini-vae-scores", "mini-inpainter-scores"}
    assert {key for key, kind in kinds.items() if kind == "markdown"} == {  # a link is kept as markdown
        "mini-vae-decision",
        "mini-inpainter-decision",
        "mini-page",
    }
    pictures = [by_key[key].data for key, kind in kinds.items() if kind == "image"]
    assert len(pictures) >= 2
    assert all(picture.startswith("data:image/png;base64,") for picture in pictures)
    rows = json.loads(by_key["mini-vae-scores"].data)
    assert {"metric", "model", "random"} <= set(rows[0])
    assert "reconstruction_psnr" in [row["metric"] for row in rows]
    assert "## mini-vae: promote" in by_key["mini-vae-decision"].data
    assert by_key["mini-page"].data.endswith("page.html)")


def test_mlflow_shows_a_run_for_the_night_and_one_in_each_models_own_experiment(retrained, tracked):
    assert set(tracked) == {"mini", "mini-vae", "mini-inpainter"}
    night = tracked["mini"]
    assert night.info.run_name == "mini · data 1 · by hand"
    assert "mlflow.parentRunId" not in night.data.tags
    assert night.data.tags["kintsugi.flow_run"] == str(retrained.flow_run)
    assert night.data.tags["kintsugi.data_version"] == "1"
    assert night.data.tags["kintsugi.verdict.vae"] == "promote"
    assert {"vae/reconstruction_psnr", "inpainter/psnr_hole"} <= set(night.data.metrics)
    assert [file.path for file in MlflowClient().list_artifacts(night.info.run_id, "page")] == ["page/page.html"]
    assert night.data.params["dataset.size"] == "16"
    for name in ("mini-vae", "mini-inpainter"):
        assert tracked[name].data.tags["mlflow.parentRunId"] == night.info.run_id
        assert tracked[name].info.run_name == "data 1 · by hand"
    assert {run.info.status for run in tracked.values()} == {"FINISHED"}


def test_a_models_run_holds_params_losses_against_images_and_scores(tracked):
    vae = tracked["mini-vae"]
    assert vae.data.params["training.images"] == "1600"
    assert vae.data.params["recipe.network.latent"] == "4"
    assert vae.data.tags["kintsugi.execution.processes"] == "1"
    assert not [name for name in vae.data.params if name.startswith("execution")]
    history = MlflowClient().get_metric_history(vae.info.run_id, "train/vae/loss")
    assert [point.step for point in history] == [320, 640, 960, 1280, 1600]
    assert history[-1].value < history[0].value
    scores = MlflowClient().get_metric_history(vae.info.run_id, "score/reconstruction_psnr")
    assert [point.step for point in scores] == [1600]


def test_a_models_run_names_its_data_and_holds_its_pictures(tracked):
    client = MlflowClient()
    inputs = {
        name: {
            (tag.value, entry.dataset.name)
            for entry in client.get_run(tracked[f"mini-{name}"].info.run_id).inputs.dataset_inputs
            for tag in entry.tags
        }
        for name in ("vae", "inpainter")
    }
    assert inputs["vae"] == {("training", "train"), ("evaluation", "test")}
    assert inputs["inpainter"] == {("training", "train"), ("evaluation", "test"), ("evaluation", "frozen")}
    held = [file.path for file in client.list_artifacts(tracked["mini-inpainter"].info.run_id)]
    assert {"images", "pictures", "curve.jsonl", "evaluation"} <= set(held)
    course = [file.path for file in client.list_artifacts(tracked["mini-inpainter"].info.run_id, "pictures")]
    assert course == ["pictures/restorations-000000000320.png", "pictures/restorations-000000000640.png"]


def test_retraining_again_starts_nothing_and_tracks_nothing_new(retrained, tracked, carry_out, mini, launches, at):
    before = launches(retrained.home)
    versions = {record.name: record.champion for record in registry.models()}
    again = carry_out(retrained.home, mini)
    assert again.state.is_completed(), again.state
    assert again.result.page.digest == retrained.result.page.digest
    assert launches(retrained.home) == before
    with at(retrained.home):
        runs.configure(retrained.home)
        client = MlflowClient()
        assert {run.info.run_id for run in tracked_runs().values()} == {run.info.run_id for run in tracked.values()}
        for metric in ("train/vae/loss", "score/reconstruction_psnr"):
            steps = [point.step for point in client.get_metric_history(tracked["mini-vae"].info.run_id, metric)]
            assert len(steps) == len(set(steps)), metric
        assert len(client.get_metric_history(tracked["mini"].info.run_id, "vae/reconstruction_psnr")) == 1
        assert {record.name: record.champion for record in registry.models()} == versions
