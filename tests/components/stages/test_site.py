"""A host knows its place among those of a training, and a run in MLflow ends as its work did."""

from contextlib import suppress

import pytest
from mlflow import MlflowClient

from components.artifacts.storage import StorageError
from components.launch import LaunchFailed, Stopped
from components.servers.patience import PatienceEndedError
from components.stages.site import Host, ending, flatten
from components.stages.site import _show as show
from components.tracking import runs


def test_a_host_that_is_told_nothing_is_host_0():
    assert Host.from_environment() == Host(0, None)


def test_a_host_takes_its_place_from_the_environment(monkeypatch):
    monkeypatch.setenv("KINTSUGI_NODE_RANK", "1")
    monkeypatch.setenv("KINTSUGI_RENDEZVOUS", "10.0.0.1:29500")
    host = Host.from_environment()
    assert host == Host(1, "10.0.0.1:29500")
    host.check(2)


@pytest.mark.parametrize("stated", ["one", "-1", "1.0"])
def test_a_place_that_is_no_number_is_refused_by_name(monkeypatch, stated):
    monkeypatch.setenv("KINTSUGI_NODE_RANK", stated)
    with pytest.raises(ValueError, match=f"KINTSUGI_NODE_RANK is '{stated}'"):
        Host.from_environment()


def test_a_place_beyond_the_last_host_is_refused():
    with pytest.raises(ValueError, match=r"execution\.nodes is 2: hosts count from 0 to 1"):
        Host(2, "10.0.0.1:29500").check(2)


def test_many_hosts_need_a_rendezvous_and_one_does_not():
    Host(0, None).check(1)
    with pytest.raises(ValueError, match="KINTSUGI_RENDEZVOUS is not set"):
        Host(0, None).check(2)


def test_nested_values_become_dotted_names():
    assert flatten({"a": {"b": {"c": 1}, "d": [2, 3]}, "e": None}) == {"a.b.c": 1, "a.d": [2, 3], "e": None}


def test_half_a_line_of_progress_which_a_full_disk_leaves_is_passed_on_as_it_is(caplog):
    shown = []
    caplog.set_level("INFO")
    for line in (
        '[rank 0] progress {"images": 3, "of',
        '[rank 0] progress {"images": 3, "of": 9, "images_per_s": 2, "g/loss": 1}',
    ):
        show("train", lambda *facts: shown.append(facts), line)
    assert [facts[:3] for facts in shown] == [("train", 3, 9)]
    assert '"images": 3, "of' in caplog.text


def store_away():
    error = StorageError("s3://b: the object store does not answer, after 30 min of waiting")
    error.__cause__ = PatienceEndedError("the object store does not answer")
    return error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "FINISHED"),
        (LaunchFailed("rank 0 of 1 failed"), "FAILED"),
        (OSError("No space left on device"), "FAILED"),
        (Stopped("resumable at 640 of 1,000 images"), "KILLED"),
        (PatienceEndedError("MLflow does not answer"), "KILLED"),
        (store_away(), "KILLED"),
        (KeyboardInterrupt(), "KILLED"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)
def test_a_run_is_finished_failed_or_stopped_for_later(tracked_run, error, status):
    with suppress(RuntimeError, OSError, KeyboardInterrupt), ending(tracked_run):
        if error is not None:
            raise error
    assert MlflowClient().get_run(tracked_run).info.status == status


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """An MLflow database, made once: its tables take seconds."""
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture
def tracked_run(database, request):
    runs.configure(database)
    return runs.open_run("site", request.node.name, request.node.callspec.id)
