"""Nights under a policy: one from scratch, one skipped for want of change, the next from the champion's weights."""

import os
import shutil
import subprocess
import sys

import pytest
import yaml
from mlflow import MlflowClient
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

from components.artifacts import Store
from components.data import ShapesSource
from components.stages.budget import BudgetSpent
from components.stages.candidate import Checkpoint
from components.stages.lineage import verify_lineage
from components.stages.outcome import Skipped
from components.tracking import registry, runs
from components.workspace import Workspace

pytestmark = [pytest.mark.flow, pytest.mark.timeout(600)]

FIRST, A_FEW_MORE, ENOUGH = 200, 206, 260
NAME = "alone-vae"
POLICY = {"skip_below": 0.1, "start": "champion"}


class Nights:
    """Nights of one configuration on a folder that grows, in one workspace."""

    def __init__(self, home, vae_only, at, launches):
        self.home, self.at, self._launches = home, at, launches
        self.pictures = [item.content for item in ShapesSource(images=ENOUGH, raster_px=16).items()]
        content = yaml.safe_load(vae_only.read_text())
        content["dataset"]["source"] = {"kind": "folder", "path": str(home / "pile")}
        self.config = home / "policy.yaml"
        self.config.write_text(yaml.safe_dump(content | {"retraining": POLICY}))

    def fill(self, count):
        (self.home / "pile").mkdir(exist_ok=True)
        for number, content in enumerate(self.pictures[:count]):
            (self.home / "pile" / f"{number:03}.png").write_bytes(content)

    def live(self, count, *overrides, **more):
        """Live through one night with so many pictures; return its state and which stages started processes."""
        from flows import pipeline

        self.fill(count)
        before = self._launches(self.home)
        with self.at(self.home):
            state = pipeline.retrain(self.config, overrides, reason="schedule", return_state=True, **more)
        return state, {path.parent.name for path in self._launches(self.home) - before}

    @property
    def store(self):
        return Store(Workspace(self.home).store)

    def version(self, number):
        with self.at(self.home):
            runs.configure(self.home)
            return registry.state(NAME).version(number)

    def night_runs(self, version):
        """Return MLflow's runs of the nights of a data version, newest first."""
        with self.at(self.home):
            runs.configure(self.home)
            client = MlflowClient()
            experiment = client.get_experiment_by_name("alone").experiment_id
            return client.search_runs([experiment], f"tags.`kintsugi.data_version` = '{version}'")

    def night_run(self, version):
        """Return MLflow's run of the only night of a data version."""
        (found,) = self.night_runs(version)
        return found


@pytest.fixture(scope="module")
def nights(prefect_api, migrated, vae_only, at, launches, tmp_path_factory):
    home = tmp_path_factory.mktemp("policy")
    shutil.copy(migrated, home / "mlflow.db")
    return Nights(home, vae_only, at, launches)


@pytest.fixture(scope="module")
def first(nights):
    return nights.live(FIRST)


@pytest.fixture(scope="module")
def second(nights, first):
    return nights.live(A_FEW_MORE)


@pytest.fixture(scope="module")
def third(nights, second):
    return nights.live(ENOUGH)


def test_the_first_night_begins_from_scratch_and_is_promoted(nights, first):
    state, launched = first
    (model,) = state.result().candidates
    assert (model.promotion.verdict, model.promotion.champion) == ("promote", 1)
    assert model.checkpoint.images_before == 0
    assert "train-vae" in launched
    version = nights.version(1)
    assert not [part for part in version.lineage if part.startswith("start")]
    assert "began with" not in version.facts


def test_a_night_skipped_on_the_same_data_leaves_the_run_of_the_one_before_as_it_was(nights, first):
    state, launched = nights.live(FIRST)
    assert (state.name, launched) == ("Skipped", set())
    skipped, trained = (run.data.tags for run in nights.night_runs(1))
    assert skipped["kintsugi.skipped"] == state.message
    assert "kintsugi.verdict.vae" not in skipped
    assert trained["kintsugi.verdict.vae"] == "promote"
    assert "kintsugi.skipped" not in trained
    assert "skipped" not in trained["mlflow.note.content"]


def test_a_night_with_too_few_new_images_ends_skipped_with_the_reason_and_starts_nothing(nights, second):
    state, launched = second
    assert launched == set()
    assert (state.name, state.type.value) == ("Skipped", "COMPLETED")
    assert state.message.startswith("6 images new and 0 gone, 2.91% of all since alone · data 1 · schedule of ")
    assert state.message.endswith("less than retraining.skip_below, 10.00%; the configuration is the same")
    assert state.result() == Skipped(state.message)


def test_prefect_mlflow_and_the_index_of_pages_keep_why_a_night_was_skipped(nights, second):
    state, _ = second
    identity = state.state_details.flow_run_id
    with get_client(sync_client=True) as client:
        assert client.read_flow_run(identity).name == "alone · data 2 · schedule"
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[identity]))
        )
    assert [one.data for one in found] == [f"## alone: skipped\n- {state.message}"]
    run = nights.night_run(2)
    assert (run.info.status, run.data.tags["kintsugi.skipped"]) == ("FINISHED", state.message)
    assert f"was skipped: {state.message}" in run.data.tags["mlflow.note.content"]
    index = (nights.home / "pages" / "index.html").read_text()
    assert "Nights that were skipped last" in index
    assert state.message in index


def test_by_hand_a_person_is_told_and_how_to_train_all_the_same(nights, second, prefect_api):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KINTSUGI_")}
    said = subprocess.run(
        [sys.executable, "-m", "flows.cli", "run", str(nights.config)],
        env=kept | {"KINTSUGI_HOME": str(nights.home), "PREFECT_API_URL": prefect_api},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("Skipped: 6 images new and 0 gone, 2.91% of all since alone · data 1 ")
    assert said.stdout.splitlines()[-1].endswith("With --regardless it is trained all the same.")


def test_enough_new_images_are_trained_on_from_the_champions_weights_and_judged_by_the_gate(nights, third):
    state, launched = third
    assert state.is_completed(), state
    assert "train-vae" in launched
    (model,) = state.result().candidates
    assert model.promotion.version == 2
    assert model.promotion.judged_against == 1
    assert model.promotion.verdict in {"promote", "reject"}
    assert model.promotion.reasons[-1] == (
        "images seen in all: 3,200, 1,600 of them by the weights it began with; the champion's: 1,600"
    )
    assert (model.checkpoint.images, model.checkpoint.images_in_all) == (1600, 3200)


def test_lineage_facts_page_and_tracker_say_whose_weights_it_began_with(nights, third):
    state, _ = third
    champion, version = nights.version(1), nights.version(2)
    assert version.lineage["start"] == champion.export_digest
    assert version.lineage["start_version"] == "1"
    assert version.lineage["start_checkpoint"] == champion.lineage["checkpoint"]
    assert version.facts["began with"] == f"the weights of {NAME} version 1, which had seen 1,600 images"
    assert version.facts["images seen in training"] == "3,200"
    page = (state.result().page.path / "page.html").read_text()
    assert f"{NAME} version 1, 1,600 images" in page
    with nights.at(nights.home):
        runs.configure(nights.home)
        assert MlflowClient().get_run(version.run_id).data.tags["kintsugi.start"] == f"{NAME} version 1"
    assert nights.night_run(3).data.tags["kintsugi.verdict.vae"] in {"promote", "reject"}


def test_lineage_is_checked_down_to_the_training_that_the_weights_came_from(nights, third):
    lineage = nights.version(2).lineage

    def wrong():
        return list(verify_lineage(nights.store, lineage, deep=False, progress=lambda *facts: None))

    assert wrong() == []
    weights = nights.store.get(Checkpoint, lineage["start_checkpoint"]).path / "checkpoint" / "state.safetensors"
    weights.rename(weights.with_suffix(".away"))
    try:
        assert [problem.partition(":")[0] for problem in wrong()] == ["start_checkpoint"]
    finally:
        weights.with_suffix(".away").rename(weights)


def test_the_same_night_again_stays_with_its_start_though_its_own_model_may_be_in_service(nights, third):
    state, launched = nights.live(ENOUGH, regardless=True)
    assert launched == set()
    (again,), (before,) = state.result().candidates, third[0].result().candidates
    assert again.checkpoint == before.checkpoint


def test_another_network_is_refused_in_words_before_anything_starts(nights, third):
    state, launched = nights.live(ENOUGH, "models.vae.recipe.network.width=12")
    assert launched == set()
    assert state.is_failed()
    with pytest.raises(
        ValueError, match=r"cannot begin with the weights of alone-vae version \d, which is another"
    ) as told:
        state.result()
    assert "recipe.network was kind conv, latent 4, width 8, and is kind conv, latent 4, width 12" in str(told.value)


def test_a_night_too_many_is_skipped_and_a_person_may_have_it_all_the_same(nights, third):
    often = ("retraining.nights_per_week=1", "models.vae.training.images=960")
    state, launched = nights.live(ENOUGH, *often)
    assert (state.name, launched) == ("Skipped", set())
    assert "nights were begun within 7 days, retraining.nights_per_week allows 1" in state.message
    state, launched = nights.live(ENOUGH, *often, regardless=True)
    assert state.is_completed()
    assert "train-vae" in launched
    (model,) = state.result().candidates
    assert model.checkpoint.images == 960


def test_a_night_stops_when_its_budget_is_spent_and_goes_on_from_there_under_a_larger_one(nights, third):
    longer = "models.vae.training.images=24000"
    state, launched = nights.live(ENOUGH, longer, "retraining.hours=0.0008", regardless=True)
    assert "train-vae" in launched
    assert state.is_failed()
    with pytest.raises(BudgetSpent, match=r"retraining\.hours, 0\.0008, spent .* resumable at [1-9][\d,]* of 24,000"):
        state.result()
    state, launched = nights.live(ENOUGH, longer, "retraining.hours=0.0008", regardless=True)
    assert launched == set()
    with pytest.raises(BudgetSpent, match=r"stands at [1-9][\d,]* of 24,000 images; a run with a larger budget"):
        state.result()
    (kept,) = (int(max(place.iterdir()).name) for place in nights.home.glob("training/*/checkpoints"))
    state, launched = nights.live(ENOUGH, longer, "retraining.hours=1", regardless=True)
    assert state.is_completed()
    ranks = sorted(nights.home.glob("logs/train-vae/*/*/attempt_0/0/stderr.log"), key=lambda one: one.stat().st_mtime)
    assert f"resumed at {kept:,} of 24,000 images" in ranks[-1].read_text()
