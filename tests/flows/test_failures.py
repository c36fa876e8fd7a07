"""A training that fails says why in its own words, in Prefect and in MLflow, and leaves nothing that looks finished."""

import time

import pytest
from mlflow import MlflowClient
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

from components.launch import LaunchFailed
from components.report.content import PageContent
from components.tracking import runs

pytestmark = [pytest.mark.flow, pytest.mark.timeout(400)]

DIVERGES = ("models.vae.recipe.optimizer={kind: adam, rate: 1e6}", "models.vae.training.guard.skips=0")


def ended_tasks(run):
    """Wait until the server knows how the run's tasks ended: that arrives as events, after the flow has ended."""
    deadline = time.monotonic() + 60
    with get_client(sync_client=True) as client:
        while True:
            found = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.flow_run])))
            if found and all(task.state and task.state.is_final() for task in found):
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.2)


def statuses(home):
    """Return how the one run of each experiment ended in MLflow, by the experiment's name."""
    runs.configure(home)
    client = MlflowClient()
    found = {one.name: client.search_runs([one.experiment_id]) for one in client.search_experiments()}
    return {name: run.info.status for name, (run, *_) in ((name, ended) for name, ended in found.items() if ended)}


def test_a_training_that_diverges_fails_with_the_ranks_own_words(carry_out, vae_only, tmp_path, at):
    run = carry_out(tmp_path, vae_only, *DIVERGES, until="train")
    assert run.state.is_failed()
    with pytest.raises(LaunchFailed, match=r"rank 0 of 1 failed: DivergedError: vae/\w+ is .* after [\d,]+ images"):
        run.state.result()
    with at(tmp_path):
        found = statuses(tmp_path)
    assert found == {"alone": "FAILED", "alone-vae": "FAILED"}
    assert not list((tmp_path / "store").glob("checkpoint/*"))


def test_a_model_that_fails_does_not_keep_the_others_from_service(carry_out, mini, tmp_path, at):
    run = carry_out(tmp_path, mini, *DIVERGES)
    assert run.state.is_failed()
    with pytest.raises(
        LaunchFailed, match=r"^vae: rank 0 of 1 failed: DivergedError.*\n(.*\n)*The other.* page: file:"
    ):
        run.state.result()
    (page,) = (tmp_path / "store").glob("page/*/page.json")
    content = PageContent.model_validate_json(page.read_text())
    assert [model.name for model in content.models] == ["inpainter"]
    assert content.models[0].decision.verdict
    (failed,) = content.failed
    assert failed.name == "vae"
    assert failed.reason.startswith("rank 0 of 1 failed: DivergedError: vae/")
    assert str(tmp_path) not in failed.reason
    with at(tmp_path):
        found = statuses(tmp_path)
    assert found["mini"] == found["mini-vae"] == "FAILED"
    assert found["mini-inpainter"] == "FINISHED"


def test_a_source_that_is_not_there_fails_before_anything_is_written(carry_out, vae_only, tmp_path):
    missing = tmp_path / "nowhere"
    run = carry_out(tmp_path / "home", vae_only, f"dataset.source={{kind: folder, path: {missing}}}", until="prepare")
    assert run.state.is_failed()
    with pytest.raises(ValueError, match="nowhere"):
        run.state.result()
    (task,) = ended_tasks(run)
    assert task.run_count == 1  # trying a mistake again would not mend it
    assert not list((tmp_path / "home" / "store").iterdir())
