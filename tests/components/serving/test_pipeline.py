"""What the nights are at stands in /metrics: read from MLflow as trainings report it, and from the ledger."""

import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from components.tracking import runs, underway
from components.tracking.metrics import MlflowTracker
from components.training.curve import DATA_WAIT, PACE, PEAK_CARD_MEMORY

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def under_way(workspace, tmp_path):
    """A night that trains, after one that ended well."""
    runs.finish_run(runs.open_run("photos", "photos · data 1", "one", tags={"kintsugi.reason": "schedule"}))
    night = runs.open_run("photos", "photos · data 2", "two", tags={"kintsugi.reason": "new data"})
    runs.link_run(night, {"stage": "train gan"})
    training = runs.open_run("photos-gan", "data 2 · new data", "three", parent=night)
    tracker = MlflowTracker(None, training, tmp_path / "outbox")
    tracker.log_metrics({PACE: 100.0, DATA_WAIT: 0.5, PEAK_CARD_MEMORY: 1000.0}, 640)
    tracker.log_metrics({PACE: 250.0, DATA_WAIT: 0.25, PEAK_CARD_MEMORY: 1500.0}, 1280)
    assert tracker.close() == 0
    return night, training


@pytest.fixture
def measures(serve):
    """Return all values of /metrics by name and labels."""

    def ask(queue=dict):
        text = serve(watches=queue).client.get("/metrics").text
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    return ask


def test_a_training_s_speed_waiting_and_memory_are_the_last_that_it_reported(under_way, measures):
    found = measures(lambda: {"waiting": 2, "running": 1})
    assert found["kintsugi_night_stage", "photos", "train gan"] == 1
    assert found["kintsugi_training_images_per_second", "photos-gan"] == 250
    assert found["kintsugi_training_data_wait_ratio", "photos-gan"] == 0.25
    assert found["kintsugi_training_gpu_memory_bytes", "photos-gan"] == 1.5e9
    assert found["kintsugi_night_runs", "waiting"] == 2
    assert 0 <= time.time() - found["kintsugi_night_last_success_timestamp_seconds", "photos"] < 120
    assert ("kintsugi_training_memory_bytes", "photos-gan") not in found  # it reported none


def test_what_has_ended_is_no_longer_shown(under_way, measures):
    for run in under_way:
        runs.finish_run(run)
    found = measures()
    assert not [name for name in found if name[0].startswith(("kintsugi_training", "kintsugi_night_stage"))]
    assert ("kintsugi_night_last_success_timestamp_seconds", "photos") in found


def test_a_sweeps_run_is_no_training_but_its_trials_are(workspace):
    sweep = runs.open_run("photos-vae", "sweep", "four", tags={f"kintsugi.{underway.TRIALS}": "3"})
    trial = runs.open_run("photos-vae", "sweep, trial 1", "five", parent=sweep)
    assert [one.model for one in underway.look().trainings] == ["photos-vae"]
    runs.finish_run(trial)
    assert underway.look().trainings == ()


def test_the_age_of_a_champion_counts_from_its_promotion(register, serve):
    register("gan")
    client = serve().client
    assert client.get("/models").json()[0]["champion_since"]
    (line,) = (line for line in client.get("/metrics").text.splitlines() if line.startswith("kintsugi_champion_prom"))
    assert 0 <= time.time() - float(line.split()[-1]) < 120
    assert 'model="team-gan"' in line
