"""What registry and runs still name is in use; a stored model that a killed registration left is not."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from components.recipes.interface import generating
from components.tracking import decisions, registry, runs
from components.tracking.ledger import LedgerError
from components.tracking.packaging import DIGEST_TAG, log_export
from components.tracking.reached import (
    delete_model,
    digests_in_use,
    digests_of_runs,
    standing_states,
    unreached_models,
    versions_in_use,
)
from components.tracking.standing import find_or_create_model
from tests.components.tracking.conftest import LOADER, write_export


@pytest.fixture
def judged(registered: Callable[..., int]) -> Callable[..., int]:
    """Registers a version and lets the gate decide on it."""

    def judge(value: int, verdict: str, against: int | None) -> int:
        version = registered(value)
        registry.record_decision("gan", version, verdict, ["for a test"], judged_against=against)
        if verdict == "promote":
            registry.promote("gan", version, judged_against=against, by="gate")
        return version

    return judge


def in_use() -> dict[int, str]:
    return versions_in_use(standing_states()["gan"])


def test_champion_previous_challenger_and_what_waits_for_a_person_are_in_use_and_no_other(judged, registered):
    judged(1, "promote", None)
    judged(2, "hold", 1)  # held against a champion that has gone since
    judged(3, "promote", 1)
    judged(4, "promote", 3)
    judged(5, "reject", 4)
    judged(6, "hold", 4)
    judged(7, "hold", 4)
    decisions.reject("gan", 6, by="ada", reason="blurred")
    registered(8)
    assert in_use() == {
        3: "previous",
        4: "champion",
        7: "held, waits for a person",
        8: "challenger",
    }
    told = dict(digests_in_use(standing_states()["gan"]))
    assert told["export-4"] == "gan 4, champion"
    assert "export-5" not in told
    assert told["c7"] == "gan 7, held, waits for a person"


def test_a_ledger_that_cannot_be_trusted_ends_the_question(judged, store: Path):
    judged(1, "promote", None)
    ledger = standing_states()["gan"].ledger
    MlflowClient().delete_run(ledger)
    with pytest.raises(LedgerError, match="gan"):
        standing_states()


def test_runs_under_way_and_of_these_days_name_what_they_use(store: Path):
    now = time.time()
    under_way = runs.open_run("kintsugi", "night", "a" * 20)
    runs.link_run(under_way, {"shards": "b" * 20})
    ended = runs.open_run("kintsugi", "training", "c" * 20)
    runs.finish_run(ended)
    recent = list(digests_of_runs(now - 60))
    assert ("b" * 20, "a run under way: night") in recent
    assert ("c" * 20, "a recent run: training") in recent
    later = dict(digests_of_runs(now + 3600))
    assert "b" * 20 in later, "it may have begun long ago"
    assert "c" * 20 not in later


def test_what_a_killed_registration_stored_goes_and_what_versions_have_stays(registered, store: Path, tmp_path: Path):
    registered(1)
    run_id = runs.open_run("kintsugi", "training", "digest")
    export = registry.Export(write_export(tmp_path / "lost", 9), "export-9", "gan", generating(), LOADER)
    package = log_export("gan", export, run_id)
    states = standing_states()
    assert list(unreached_models(states, time.time() - 3600)) == []
    (lost,) = unreached_models(states, time.time() + 60)
    assert lost.model_id == package.model_id
    assert lost.bytes > 64
    delete_model(lost)
    assert list(unreached_models(states, time.time() + 60)) == []
    registry.download("gan", 1, tmp_path / "copy", loader_module=LOADER)
    assert log_export("gan", export, run_id).model_id != package.model_id, "a later registration stores it anew"


def test_a_deletion_that_is_killed_between_is_ended_by_the_next(registered, store: Path, tmp_path: Path):
    registered(1)
    run_id = runs.open_run("kintsugi", "training", "digest")
    export = registry.Export(write_export(tmp_path / "lost", 9), "export-9", "gan", generating(), LOADER)
    package = log_export("gan", export, run_id)
    MlflowClient().set_logged_model_tags(package.model_id, {DIGEST_TAG: "deleted"})
    assert log_export("gan", export, run_id).model_id != package.model_id
    found = {one.model_id: one for one in unreached_models(standing_states(), time.time() + 60)}
    delete_model(found[package.model_id])
    left = {one.model_id for one in unreached_models(standing_states(), time.time() + 60)}
    assert package.model_id not in left


def test_nothing_is_in_use_where_nothing_was_registered(store: Path):
    assert standing_states() == {}
    assert list(unreached_models({}, time.time())) == []
    find_or_create_model(MlflowClient(), "gan", "empty")
    assert in_use() == {}
