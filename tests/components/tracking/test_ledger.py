"""The ledger: one winner per entry, and no altered entry is believed."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.entities import Param

from components.tracking.ledger import (
    PROMOTIONS,
    Action,
    Entry,
    History,
    LedgerError,
    append,
    create_ledger,
    in_brief,
    ledger_params,
    replay,
)
from components.tracking.runs import find_or_create_experiment


@pytest.fixture
def client(store: Path) -> MlflowClient:
    return MlflowClient()


@pytest.fixture
def ledger(client: MlflowClient) -> str:
    return create_ledger(client, find_or_create_experiment(client, PROMOTIONS), "gan")


def read_ledger(client: MlflowClient, run_id: str, name: str) -> History:
    return replay(ledger_params(client, run_id, name), run_id, name)


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


def test_what_is_not_in_the_line_and_every_override_stands_on_the_champion_so_that_a_rollback_undoes_it() -> None:
    history = rolled_back(rolled_back(promoted(1, 2), 1), 2)
    assert (history.line, history.withdrawn) == ((1, 2), {1})
    for refused, line in ((3, (1, 2, 3)), (1, (2, 1))):
        entry = promoted(1, 2).next_entry(
            "rollback", refused, "e", "ada", override=True, reason="the gate's set is old"
        )
        history = promoted(1, 2).then(entry)
        assert (history.line, history.withdrawn) == (line, {2})
        back = rolled_back(history, 2)
        assert (back.champion, back.withdrawn) == (2, {refused})


def test_entries_from_before_there_were_overrides_keep_their_text() -> None:
    text = (
        '{"action":"promote","at":"2026-11-01T02:00:00+00:00","base":null,"before":"","by":"gate","export":"e1",'
        '"id":"0123456789abcdef","version":1}'
    )
    assert Entry.model_validate_json(text).text == text
    assert not Entry.model_validate_json(text).override


@pytest.mark.parametrize(("by", "reason"), [("", "why"), ("ada", " "), ("ada", "x" * 301), ("ada", "two\nlines")])
def test_an_override_without_who_and_why_is_refused(by: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"override|reason"):
        promoted(1).next_entry("rollback", 2, "e", by, override=True, reason=reason)


def test_an_entry_never_grows_beyond_what_is_kept() -> None:
    hearts = "\N{BROKEN HEART}" * 299
    with pytest.raises(ValueError, match="too long for the ledger"):
        promoted(1).next_entry("approve", 2, "e", "ada", reason=hearts, gate=hearts)


def test_what_the_gate_said_is_cut_to_one_line_that_an_entry_has_room_for() -> None:
    assert in_brief(["promote: better\nby far", "judged on\tset 1"]) == "promote: better by far; judged on set 1"
    long = in_brief(["word " * 100])
    assert len(long) <= 300
    assert long.endswith("word ...")
    assert promoted(1).next_entry("promote", 2, "e", "gate", gate=in_brief(["\x07" * 400 + "é" * 400])).gate


@pytest.mark.parametrize("action", ["approve", "reject"])
@pytest.mark.parametrize(("by", "reason"), [("", "why"), ("ada", " ")])
def test_a_persons_decision_without_who_and_why_is_refused(action: Action, by: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"would {action} a version says who decided and why"):
        promoted(1).next_entry(action, 2, "e", by, reason=reason)


def test_a_rejection_moves_no_champion_and_stands_until_the_next_word_on_the_version() -> None:
    history = promoted(1)
    refused = history.then(history.next_entry("reject", 2, "e2", "ada", reason="blurred"))
    assert (refused.line, refused.withdrawn) == ((1,), {2})
    assert refused.rejection(2) == refused.entries[-1]
    assert refused.rejection(1) is None
    insisted = refused.then(refused.next_entry("rollback", 2, "e2", "grace", override=True, reason="not so"))
    assert (insisted.champion, insisted.rejection(2)) == (2, None)


def test_an_entry_that_lost_its_place_follows_the_one_that_won_it() -> None:
    history = promoted(1)
    late = history.next_entry("promote", 3, "e3", "gate")
    after = history.then(history.next_entry("reject", 2, "e2", "ada", reason="blurred"))
    assert after.moved(late) == late.model_copy(update={"before": after.next_entry("promote", 3, "e3", "gate").before})


Step = tuple[str, int]


def slow_line(steps: list[Step]) -> tuple[list[int], set[int]]:
    """The line and the withdrawn, by the time at which each version last climbed to the top."""
    climbed: dict[int, int] = {}
    withdrawn: set[int] = set()
    for now, (action, version) in enumerate(steps):
        before = max(climbed, key=lambda one: climbed[one], default=None)
        if action != "promote" and before is not None:
            withdrawn.add(before)
        if action == "rollback" and version in climbed:
            for above in [one for one, at in climbed.items() if at > climbed[version]]:
                withdrawn.add(above)
                del climbed[above]
        else:
            climbed[version] = now
        withdrawn.discard(version)
    return sorted(climbed, key=lambda one: climbed[one]), withdrawn


@given(st.lists(st.tuples(st.sampled_from(["promote", "rollback", "override"]), st.integers(1, 5)), max_size=14))
def test_the_line_is_that_of_a_slow_and_obvious_model(steps: list[Step]) -> None:
    history = History()
    for action, version in steps:
        earlier = history.champion
        history = history.then(
            history.next_entry("promote", version, "e", "gate")
            if action == "promote"
            else history.next_entry(
                "rollback", version, "e", "ada", override=action == "override", reason="why" * (action == "override")
            )
        )
        if action == "override" and earlier not in {None, version}:
            assert rolled_back(history, history.line[-2]).champion == earlier
    line, withdrawn = slow_line(steps)
    assert (list(history.line), set(history.withdrawn)) == (line, withdrawn)
    while len(history.line) > 1:  # plain rollbacks come to an end, and never meet a version twice
        shorter = rolled_back(history, history.line[-2])
        assert shorter.line == history.line[:-1]
        history = shorter


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
    assert history.champion not in history.withdrawn
