"""The meter says what a training took, interval by interval."""

import time

import pytest
import torch

from components.training.curve import BUSY_CORES, CARDS, DATA_WAIT, PACE, PEAK_MEMORY, SECONDS
from components.training.meter import Meter
from components.training.step import Outcome

CPU = torch.device("cpu")


def test_time_spent_on_waiting_for_batches_is_told_apart_from_work():
    meter = Meter(0, CPU)
    with meter.waiting():
        time.sleep(0.2)
    time.sleep(0.2)
    values = meter.take(100)
    assert values[SECONDS] >= 0.4
    assert values[DATA_WAIT] * values[SECONDS] == pytest.approx(0.2, abs=0.05)
    assert values[PACE] == pytest.approx(100 / values[SECONDS])
    assert values[BUSY_CORES] < 0.5


def test_busy_cores_are_processor_seconds_of_each_second():
    meter = Meter(0, CPU)
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    values = meter.take(1)
    assert values[BUSY_CORES] * values[SECONDS] == pytest.approx(0.2, abs=0.1)


def test_each_interval_begins_anew_and_without_a_card_none_is_counted():
    meter = Meter(0, CPU)
    with meter.waiting():
        time.sleep(0.1)
    meter.add([Outcome.of("first", {"loss": torch.tensor(2.0)}, torch.tensor(True))])
    meter.add([Outcome.of("first", {"loss": torch.tensor(float("nan"))}, torch.tensor(False))])
    assert meter.take(10)["first/loss"] == 2
    later = meter.take(20)
    assert (later[DATA_WAIT], later[CARDS]) == (0, 0)
    assert later[PEAK_MEMORY] > 50
    assert "first/loss" not in later
