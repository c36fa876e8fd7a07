"""What stages took is summed over their intervals; what was not measured is left out, not guessed."""

import json

import pytest

from components.artifacts import Store
from components.report.costs import StageCost
from components.stages.candidate import Checkpoint, Scores
from components.stages.spent import cost_metrics, measuring_cost, training_cost
from components.training.curve import BUSY_CORES, CARDS, DATA_WAIT, PEAK_CARD_MEMORY, PEAK_MEMORY, SECONDS


def point(seconds: float, **others: float) -> dict[str, float]:
    held = {BUSY_CORES: 1.5, CARDS: 2.0, DATA_WAIT: 0.25, PEAK_MEMORY: 700.0, PEAK_CARD_MEMORY: 3000.0}
    return {SECONDS: seconds, **held, **others}


def cost_of(checkpoint: Checkpoint) -> StageCost | None:
    return training_cost(checkpoint.path, checkpoint.images)


@pytest.fixture
def trained(tmp_path):
    """Return a checkpoint whose curve has these points."""

    def make(points: list[dict[str, float]]) -> Checkpoint:
        def write(draft):
            (draft / "curve.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in points))
            (draft / "export").write_bytes(bytes(5000))
            return {"family": "gan", "images": 36_000, "export": "e"}

        return Store(tmp_path).materialise(Checkpoint, {"points": points}, write)

    return make


def test_a_trainings_cost_is_the_sum_over_its_intervals(trained):
    cost = cost_of(trained([point(2400), {"validation": 3.0}, point(1200, **{DATA_WAIT: 0.55, PEAK_MEMORY: 900})]))
    assert (cost.wall_s, cost.core_s, cost.card_s) == (3600, 5400, 7200)
    assert cost.data_wait == pytest.approx(0.35)
    assert (cost.peak_bytes, cost.peak_card_bytes) == (900e6, 3e9)
    assert cost.written_bytes > 5000


def test_mlflow_gets_hours_and_megabytes_under_system(trained):
    metrics = cost_metrics(cost_of(trained([point(3600)])))
    assert metrics["system/train_wall_hours"] == 1
    assert metrics["system/train_gpu_hours"] == 2
    assert metrics["system/train_images_per_s"] == 10
    assert metrics["system/train_peak_memory_megabytes"] == 700


def test_what_was_made_before_costs_were_measured_has_none(trained, tmp_path):
    assert cost_of(trained([{"images": 5, "images_per_s": 3.0}])) is None
    old = Store(tmp_path).materialise(Scores, {"old": 1}, lambda draft: {"subject": "model"})
    assert measuring_cost("evaluate", old) is None
