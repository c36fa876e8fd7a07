"""The ledger: one winner per entry, and no altered entry is believed."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.entities import Param

from components.tracking.ledger import Entry, History, LedgerError, append, create_ledger, read_ledger
from components.tracking.runs import find_or_create_experiment


@pytest.fixture
def client(store: Path) -> MlflowClient:
    return MlflowClient()


@pytest.fixture
def ledger(client: MlflowClient) -> str:
    return create_ledger(client, find_or_create_experiment(client, "promotions"), "gan")


def promoted(*versions: int) -> History:
    history = History()
    for version in versions:
        history = history.then(history.next_entry("promote", version, f"e{version}", "test"))
    return history


def rolled_back(history: History, to: int) -> History:
    return history.then(history.next_entry("rollback", to, f"e{to}", "test"))


def test_entries_are_read_back_as_they_were_written(client: MlflowClient, ledger: str) -> None:
    history = History()
    for version in (1, 2, 3):
        entry = history.next_entry("promote", version, "e", "a person")
        assert append(client, ledger, history, entry)
        history = history.then(entry)
    assert read_ledger(client, ledger, "gan") == history
    assert history.champion == 3


def test_the_second_to_write_one_place_loses(client: MlflowClient, ledger: str) -> None:
    before = History()
    first, second = (before.next_entry("promote", 1, "e", "x") for _ in range(2))
    assert append(client, ledger, before, first)
    assert append(client, ledger, before, first)
    assert not append(client, ledger, before, second)
    assert read_ledger(client, ledger, "gan").entries == (first,)


def test_an_altered_entry_is_seen(client: MlflowClient, ledger: str) -> None:
    forged = History().next_entry("promote", 1, "e", "x")
    append(client, ledger, History(), forged)
    other = promoted(7)
    client.log_batch(ledger, params=[Param("p/000002", other.next_entry("promote", 2, "e", "x").text)])
    with pytest.raises(LedgerError, match="an entry before number 2 was altered"):
        read_ledger(client, ledger, "gan")


def test_a_gap_and_unreadable_text_are_seen(client: MlflowClient, ledger: str) -> None:
    client.log_param(ledger, "p/000002", "{}")
    with pytest.raises(LedgerError, match="1 entries but none of number 1"):
        read_ledger(client, ledger, "gan")
    client.log_param(ledger, "p/000001", "{}")
    with pytest.raises(LedgerError, match="entry 1 is not readable"):
        read_ledger(client, ledger, "gan")


def test_a_deleted_or_foreign_ledger_is_refused_with_the_remedy(client: MlflowClient, ledger: str) -> None:
    with pytest.raises(LedgerError, match="not the ledger of vae but of gan"):
        read_ledger(client, ledger, "vae")
    client.delete_run(ledger)
    with pytest.raises(LedgerError, match=f"mlflow runs restore --run-id {ledger}"):
        read_ledger(client, ledger, "gan")


def test_rolling_back_twice_goes_further_down_and_never_up_again() -> None:
    history = promoted(1, 2, 3)
    once = rolled_back(history, 2)
    assert (once.line, once.withdrawn) == ((1, 2), {3})
    twice = rolled_back(once, 1)
    assert (twice.line, twice.withdrawn) == ((1,), {2, 3})


def test_promoting_after_a_rollback_stands_on_what_was_returned_to() -> None:
    history = rolled_back(promoted(1, 2), 1)
    again = history.then(history.next_entry("promote", 3, "e", "x"))
    assert (again.line, again.withdrawn) == ((1, 3), {2})


def test_returning_to_a_version_out_of_the_line_puts_it_in_the_champions_place() -> None:
    history = rolled_back(rolled_back(promoted(1, 2), 1), 2)
    assert (history.line, history.withdrawn) == ((2,), {1})


@given(st.lists(st.tuples(st.sampled_from(["promote", "rollback"]), st.integers(1, 5)), min_size=1, max_size=12))
def test_the_last_entry_names_the_champion_and_no_version_stands_twice(steps: list[tuple[str, int]]) -> None:
    history = History()
    for action, version in steps:
        entry = history.next_entry(action, version, "e", "y" * 200)
        assert Entry.model_validate_json(entry.text) == entry
        assert len(entry.text) < 500
        history = history.then(entry)
        assert history.champion == version
    assert len(set(history.line)) == len(history.line)
    assert not history.withdrawn & set(history.line)
