"""A server that comes back is waited for; one that stays away ends in a line that says what to do."""

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from components.servers.patience import (
    PATIENCE,
    PatienceEndedError,
    ServerAwayError,
    at_most,
    outlast,
    patience_s,
    patient_run,
    until,
)


def away_for(seconds: float):
    until = time.monotonic() + seconds

    def request() -> str:
        if time.monotonic() < until:
            raise ServerAwayError("[Errno 111] Connection refused")
        return "answer"

    return request


def test_a_server_that_comes_back_is_waited_for_and_that_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert outlast("MLflow at here", away_for(2.5)) == "answer"
    waiting, back = caplog.messages
    assert waiting == "MLflow at here does not answer; waiting, at most 5 s"
    assert back.startswith("MLflow at here answers again, after ")


def test_a_short_outage_is_not_worth_a_word(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert outlast("MLflow", away_for(0.3)) == "answer"
    assert not caplog.messages


def test_a_server_that_stays_away_ends_in_a_line_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PATIENCE, "1")
    began = time.monotonic()
    with pytest.raises(PatienceEndedError, match=r"^MLflow at here does not answer, after 1 s of waiting \(\["):
        outlast("MLflow at here", away_for(60))
    assert 1 <= time.monotonic() - began < 3


def test_it_is_told_again_each_minute(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("components.servers.patience._TOLD_EVERY_S", 1.0)
    with patient_run():
        outlast("MLflow", away_for(4.5))
    told = [message for message in caplog.messages if "so far" in message]
    assert told
    assert "min so far, at most 1800 min" in told[0]


def test_a_run_is_patient_and_a_command_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert patience_s() == 5
    with patient_run():
        assert patience_s() == 1800
        with at_most(3):
            assert patience_s() == 3
        assert patience_s() == 1800
    monkeypatch.setenv(PATIENCE, "42")
    assert patience_s() == 42
    with patient_run(), at_most(60):
        assert patience_s() == 42


@pytest.mark.parametrize("stated", ["soon", "-1", "inf", "nan"])
def test_what_is_not_a_time_is_refused(monkeypatch: pytest.MonkeyPatch, stated: str) -> None:
    monkeypatch.setenv(PATIENCE, stated)
    with pytest.raises(ValueError, match=f"KINTSUGI_PATIENCE_S is '{stated}', expected a number of seconds"):
        patience_s()


def test_a_part_that_waits_less_does_not_hurry_other_threads() -> None:
    both = threading.Barrier(2)

    def hurried() -> float:
        with at_most(3):
            both.wait(10)
            both.wait(10)
            return patience_s()

    def patient() -> float:
        both.wait(10)
        found = patience_s()
        both.wait(10)
        return found

    with patient_run(), ThreadPoolExecutor(2) as threads:
        assert [one.result() for one in (threads.submit(hurried), threads.submit(patient))] == [3, 1800]
        assert patience_s() == 1800


def test_nobody_waits_once_the_run_ends() -> None:
    asked = threading.Event()
    threading.Timer(0.5, asked.set).start()
    began = time.monotonic()
    with patient_run(), until(asked), pytest.raises(PatienceEndedError, match="MLflow does not answer"):
        outlast("MLflow", away_for(60))
    assert time.monotonic() - began < 5
    with until(asked):
        assert outlast("MLflow", away_for(0)) == "answer"
