"""Retraining chains the stages, shows what it did in Prefect and MLflow, and does nothing twice."""

import json
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
    FlowRunFilterParentFlowRunId,
)

from components.tracking import registry, runs
from flows import pipeline

pytestmark = [pytest.mark.flow, pytest.mark.timeout(400)]

ORDER = ["prepare", "train", "evaluate", "promote", "publish"]


@pytest.fixture
def stages(retrained):
    """The flow runs that retraining started, first one first."""
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[retrained.flow_run]))
        )
        flows = {flow.id: flow.name for flow in client.read_flows()}
    return [(flows[run.flow_id], run) for run in sorted(found, key=lambda run: run.start_time)]


@pytest.fixture
def tracked(retrained, at):
    """The experiment's runs in MLflow by name."""
    with at(retrained.home):
        runs.configure(retrained.home)
        client = MlflowClient()
        experiment = client.get_experiment_by_name("mini")
        found = client.search_runs([experiment.experiment_id])
        yield {run.info.run_name: run for run in found}


def task_runs_of(flow_run, expected: int):
    """Wait for the server to have recorded so many task runs: they arrive as events, after the flow has ended."""
    deadline = time.monotonic() + 60
    with get_client(sync_client=True) as client:
        while True:
            found = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run])))
            # A flow called in a flow is a task run, too.
            found = [run for run in found if not run.state_name or not run.state.state_details.child_flow_run_id]
            if len(found) >= expected or time.monotonic() > deadline:
                return sorted(found, key=lambda run: run.start_time or run.created)
            time.sleep(0.5)


def test_retraining_completes_all_stages_in_order(retrained, stages):
    assert retrained.state.is_completed(), retrained.state
    assert [name for name, _ in stages] == ORDER
    ends = [(run.start_time, run.end_time) for _, run in stages]
    assert all(end <= start for (_, end), (start, _) in pairwise(ends))


def test_each_stage_runs_one_task_per_model(stages):
    names = {name: [run.name for run in task_runs_of(flow.id, 1 if name == "publish" else 2)] for name, flow in stages}
    assert [name.split("-")[0] for name in names["prepare"]] == ["shard", "evaluation sets"]
    for stage in ("train", "evaluate", "promote"):
        assert names[stage] == [f"{stage} vae", f"{stage} inpainter"]
    assert [name.split("-")[0] for name in names["publish"]] == ["write page"]


def test_prefect_shows_scores_decisions_the_page_and_pictures(stages):
    identities = [run.id for _, run in stages]
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=identities))
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


def test_mlflow_shows_one_run_with_one_child_per_model(retrained, tracked):
    assert set(tracked) == {"mini", "vae", "inpainter"}
    parent = tracked["mini"]
    assert "mlflow.parentRunId" not in parent.data.tags
    assert parent.data.tags["kintsugi.flow_run"] == str(retrained.flow_run)
    assert parent.data.params["dataset.size"] == "16"
    for name in ("vae", "inpainter"):
        assert tracked[name].data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert {run.info.status for run in tracked.values()} == {"FINISHED"}


def test_a_models_run_holds_params_losses_against_images_and_scores(tracked):
    vae = tracked["vae"]
    assert vae.data.params["training.images"] == "1600"
    assert vae.data.params["recipe.network.latent"] == "4"
    assert vae.data.tags["kintsugi.execution.processes"] == "1"
    assert not [name for name in vae.data.params if name.startswith("execution")]
    history = MlflowClient().get_metric_history(vae.info.run_id, "vae/loss")
    assert [point.step for point in history] == [320, 640, 960, 1280, 1600]
    assert history[-1].value < history[0].value
    scores = MlflowClient().get_metric_history(vae.info.run_id, "score/reconstruction_psnr")
    assert [point.step for point in scores] == [1600]


def test_a_models_run_names_its_data_and_holds_its_pictures(tracked):
    client = MlflowClient()
    inputs = {
        name: {
            (tag.value, entry.dataset.name)
            for entry in client.get_run(tracked[name].info.run_id).inputs.dataset_inputs
            for tag in entry.tags
        }
        for name in ("vae", "inpainter")
    }
    assert inputs["vae"] == {("training", "train"), ("evaluation", "test")}
    assert inputs["inpainter"] == {("training", "train"), ("evaluation", "test"), ("evaluation", "frozen")}
    held = [file.path for file in client.list_artifacts(tracked["inpainter"].info.run_id)]
    assert {"images", "pictures", "curve.jsonl", "evaluation"} <= set(held)
    course = [file.path for file in client.list_artifacts(tracked["inpainter"].info.run_id, "pictures")]
    assert course == ["pictures/restorations-000000000320.png", "pictures/restorations-000000000640.png"]


def test_retraining_again_starts_nothing_and_tracks_nothing_new(retrained, tracked, carry_out, mini, launches, at):
    before = launches(retrained.home)
    versions = {record.name: record.champion for record in registry.models()}
    again = carry_out(pipeline.retrain, retrained.home, mini)
    assert again.state.is_completed(), again.state
    assert again.result.digest == retrained.result.digest
    assert launches(retrained.home) == before
    with at(retrained.home):
        runs.configure(retrained.home)
        client = MlflowClient()
        experiment = client.get_experiment_by_name("mini")
        assert {run.info.run_id for run in client.search_runs([experiment.experiment_id])} == {
            run.info.run_id for run in tracked.values()
        }
        for metric in ("vae/loss", "score/reconstruction_psnr"):
            steps = [point.step for point in client.get_metric_history(tracked["vae"].info.run_id, metric)]
            assert len(steps) == len(set(steps)), metric
        assert {record.name: record.champion for record in registry.models()} == versions
