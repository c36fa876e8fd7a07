"""What a night's trainings have taken counts against its budget, finished or under way, noted or killed before."""

import json

import pytest

from components.artifacts import Store
from components.config import load
from components.data import write_shards
from components.stages import budget as budgets
from components.stages.budget import Budget, cards_of, note_taken
from components.stages.candidate import Candidate, Checkpoint, Data, EvaluationSet
from components.stages.inputs import training_inputs
from components.training.config import ExecutionConfig
from components.training.curve import BUSY_CORES, CARDS, DATA_WAIT, PEAK_MEMORY, SECONDS
from components.workspace import Workspace

ALONE, ON_TWO = ExecutionConfig(), ExecutionConfig(processes=2)
CURVE = {SECONDS: 300.0, BUSY_CORES: 1.0, CARDS: 2.0, DATA_WAIT: 0.0, PEAK_MEMORY: 1.0}


class Place:
    """A store and a workspace with what two trainings have left."""

    def __init__(self, root, folder):
        self.run = load(root / "tests" / "flows" / "mini.yaml")
        self.store, self.workspace = Store(folder / "store"), Workspace(folder).create()
        shards = write_shards(self.run.dataset, self.store)
        judged_on = EvaluationSet(shards=shards, corruptions=None, pinned=None)
        self.data = Data(shards, judged_on, None, self.run.corruption, self.run.seed)

    def budget(self, **retraining):
        policy = self.run.retraining.model_copy(update=retraining)
        return Budget.of(self.run.model_copy(update={"retraining": policy}), self.data)

    def under_way(self, name):
        folder = self.workspace.training / Store.digest(Checkpoint, self.inputs(name))
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def finish(self, name, seconds):
        def write(draft):
            (draft / "curve.jsonl").write_text(json.dumps({"images": 10, **CURVE, SECONDS: seconds}) + "\n")
            return {"family": "vae", "images": 10, "export": "0" * 20}

        self.store.materialise(Checkpoint, self.inputs(name), write)

    def inputs(self, name):
        return training_inputs(Candidate(name, self.run.models[name]), self.data)

    def left_s(self, budget, execution=ALONE):
        return budget.left_s(execution, self.store, self.workspace)


@pytest.fixture
def place(root, tmp_path):
    return Place(root, tmp_path)


@pytest.fixture
def with_cards(monkeypatch):
    """Two graphics cards, which this machine need not have."""
    monkeypatch.setattr(budgets, "cards", lambda: {"0": "one", "1": "another"})


def test_without_a_budget_there_is_no_limit(place):
    assert place.left_s(place.budget()) is None


def test_all_trainings_of_a_night_share_its_hours_finished_or_under_way(place):
    budget = place.budget(hours=1.0)
    assert place.left_s(budget) == 3600
    place.finish("vae", 600.0)
    assert place.left_s(budget) == 3000
    note_taken(place.under_way("inpainter"), 500.0, 0)
    note_taken(place.under_way("inpainter"), 100.0, 0)
    assert place.left_s(budget) == 2400


def test_a_launch_that_was_killed_before_it_was_noted_counts_by_its_curve(place):
    (place.under_way("vae") / "curve.jsonl").write_text(json.dumps({"images": 10, **CURVE}) + "\n")
    assert place.left_s(place.budget(hours=1.0)) == 3300
    note_taken(place.under_way("vae"), 400.0, 0)
    assert place.left_s(place.budget(hours=1.0)) == 3200


def test_models_side_by_side_may_take_their_share_of_what_is_left(place):
    assert place.left_s(Budget(1.0, None, (), at_once=2)) == 1800


def test_hours_of_cards_limit_nothing_where_there_are_none_and_are_shared_by_processes_where_there_are(
    place, with_cards, monkeypatch
):
    budget = place.budget(hours=1.0, gpu_hours=1.0)
    place.finish("vae", 300.0)  # on two cards
    assert place.left_s(budget, ALONE) == 3000
    assert place.left_s(budget, ON_TWO) == 1500
    assert (cards_of(ALONE), cards_of(ON_TWO)) == (1, 2)
    monkeypatch.setattr(budgets, "cards", dict)
    assert place.left_s(budget, ON_TWO) == 3300


def test_a_sweeps_budget_names_the_sections_field():
    assert Budget(2.0, None, (), section="sweep").words == "sweep.hours, 2"


def test_a_budget_names_itself_as_the_configuration_does(place):
    assert place.budget(hours=0.5, gpu_hours=2.0).words == "retraining.hours, 0.5 and retraining.gpu_hours, 2"
