"""People answer what the gate held: in the ledger, by the promotion's own compare-and-swap, and for good."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from components.tracking import decisions, registry
from components.tracking.registry import ChampionMovedError, RefusedError, WithdrawnError
from components.tracking.standing import read_state
from components.tracking.succession import write_entry
from flows.cli import command_line
from tests.components.tracking.conftest import five_registered


@pytest.fixture(scope="module")
def migrated(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database that each test has a copy of: 1 is champion; the gate held 2 and 3, rejected 4, never saw 5."""
    with five_registered(tmp_path_factory.mktemp("held"), migrated) as home:
        registry.record_decision("gan", 1, "promote", ["there is no champion yet"], judged_against=None)
        registry.promote("gan", 1, judged_against=None, by="gate")
        registry.record_decision("gan", 2, "hold", ["too few samples"], judged_against=1)
        registry.record_decision(
            "gan", 3, "hold", ["a person's approval is awaited", "fd 3 is better"], judged_against=1
        )
        registry.record_decision("gan", 4, "reject", ["fd 9.1 is not better"], judged_against=1)
    return home / "mlflow.db"


@pytest.fixture
def command(
    store: Path, loader: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Call a command and return what it printed."""
    monkeypatch.setenv("KINTSUGI_HOME", str(store))

    def call(*arguments: str) -> str:
        command_line()(list(arguments), exit_on_error=False, result_action="return_value")
        return capsys.readouterr().out

    return call


def test_an_approval_puts_the_version_in_service_and_stands_in_the_ledger_beside_the_gates_words(
    store: Path, loader: Path
) -> None:
    standing = decisions.approve("gan", 3, by="ada", reason="looked at all 64 pictures")
    assert (standing.champion, standing.previous) == (3, 1)
    entry = read_state(MlflowClient(), "gan").history.entries[-1]
    assert (entry.action, entry.version, entry.base) == ("approve", 3, 1)
    assert (entry.by, entry.reason) == ("ada", "looked at all 64 pictures")
    assert entry.gate == "hold: a person's approval is awaited; fd 3 is better"
    kept = registry.decision("gan", 3)
    assert kept is not None
    assert (kept.verdict, kept.judged_against) == ("promote", 1)
    assert kept.reasons[0] == "approved by ada: looked at all 64 pictures"
    assert kept.reasons[1:] == ("a person's approval is awaited", "fd 3 is better")
    assert registry.rollback("gan").champion == 1
    assert registry.rollback("gan", to=3).champion == 3  # approved, it needs no override to return


def test_an_approval_judged_against_another_champion_than_the_present_one_is_refused(store: Path, loader: Path) -> None:
    decisions.approve("gan", 2, by="ada", reason="good enough")
    with pytest.raises(RefusedError, match="3 was judged against version 1, and version 2 is in service now; run"):
        decisions.approve("gan", 3, by="ada", reason="better still")
    assert registry.champion("gan") == 2
    registry.record_decision("gan", 3, "hold", ["judged anew"], judged_against=2)
    assert decisions.approve("gan", 3, by="ada", reason="better still").champion == 3


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (4, r"4 is rejected, not held \(fd 9\.1 is not better\); .* kintsugi rollback gan --to 4 --override"),
        (5, "5 was not judged yet, so there is nothing to answer"),
        (6, "no version 6; there are: 1, 2, 3, 4, 5"),
    ],
)
@pytest.mark.parametrize("answer", [decisions.approve, decisions.reject])
def test_only_what_is_held_can_be_answered(
    store: Path, loader: Path, answer: Callable[..., object], version: int, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        answer("gan", version, by="ada", reason="why not")
    assert registry.champion("gan") == 1


def test_what_a_person_rejected_is_not_promoted_later_by_itself(store: Path, loader: Path) -> None:
    standing = decisions.reject("gan", 3, by="ada", reason="faces melt")
    assert (standing.champion, standing.challenger) == (1, 5)
    with pytest.raises(WithdrawnError, match=r"gan 3 was rejected by ada \(faces melt\); only a person may"):
        registry.promote("gan", 3, judged_against=1, by="gate")
    registry.record_decision("gan", 3, "hold", ["a run that knows nothing of it"], judged_against=1)
    with pytest.raises(WithdrawnError):
        registry.promote("gan", 3, judged_against=1, by="gate")
    assert registry.champion("gan") == 1
    assert registry.rejection("gan", 3) is not None
    assert registry.rollback("gan", to=3, override=True, by="grace", reason="they do not").champion == 3
    assert registry.rejection("gan", 3) is None


def test_the_champion_is_not_rejected_but_rolled_back(store: Path, loader: Path) -> None:
    with pytest.raises(RefusedError, match="1 is in service; to take it out: kintsugi rollback gan"):
        decisions.reject("gan", 1, by="ada", reason="x")


@pytest.mark.parametrize(("answer", "verdict"), [(decisions.approve, "promote"), (decisions.reject, "reject")])
def test_an_answer_that_was_cut_off_after_the_ledger_is_finished_by_giving_it_again(
    store: Path, loader: Path, answer: Callable[..., object], verdict: str
) -> None:
    answer("gan", 3, by="ada", reason="once")
    registry.record_decision("gan", 3, "hold", ["as before the answer"], judged_against=1)
    answer("gan", 3, by="ada", reason="twice")
    kept = registry.decision("gan", 3)
    assert kept is not None
    assert kept.verdict == verdict
    assert kept.reasons[0].endswith("by ada: once")
    assert len(read_state(MlflowClient(), "gan").history.entries) == 2


def test_of_two_people_who_approve_at_once_one_wins_and_one_champion_is_left(store: Path, loader: Path) -> None:
    start, outcomes = threading.Barrier(2), {}

    def approve(version: int) -> None:
        start.wait()
        try:
            outcomes[version] = decisions.approve("gan", version, by=f"p{version}", reason="mine").champion
        except (RefusedError, ChampionMovedError) as error:
            outcomes[version] = type(error)

    threads = [threading.Thread(target=approve, args=(version,)) for version in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    champion = registry.champion("gan")
    assert outcomes[champion] == champion
    assert outcomes[5 - champion] in {RefusedError, ChampionMovedError}
    assert len(read_state(MlflowClient(), "gan").history.entries) == 2


def test_a_promotion_that_lost_its_place_to_a_rejection_of_another_version_takes_the_next(
    store: Path, loader: Path
) -> None:
    client = MlflowClient()
    before = read_state(client, "gan")
    entry = before.history.next_entry("promote", 2, "export-2", "gate")
    own = before.history.next_entry("promote", 3, "export-3", "gate")
    decisions.reject("gan", 3, by="ada", reason="blurred")
    with pytest.raises(WithdrawnError):
        write_entry(client, before, before.version(3), own)
    write_entry(client, before, before.version(2), entry)
    assert [entry.action for entry in read_state(client, "gan").history.entries] == ["promote", "reject", "promote"]


def test_the_commands_say_what_happened_and_how_to_undo_it(command: Callable[..., str]) -> None:
    said = command("reject", "gan", "2", "--by", "ada", "--reason", "too dark")
    assert said == "gan: version 2 is rejected by ada: too dark\nIn service: version 1\n"
    approve = ("approve", "gan", "3", "--by", "ada", "--reason", "a clear gain")
    assert command(*approve) == (
        "gan: version 3 is in service, it was 1; approved by ada: a clear gain\nUndo: kintsugi rollback gan\n"
    )
    assert command(*approve) == "gan: version 3 is in service already; nothing changed\n"
    sentences = command("history", "gan").splitlines()
    assert len(sentences) == 4
    assert sentences[-1].endswith(
        "ada approved version 3, which the gate had held; it replaces version 1. Why: a clear gain. "
        "The gate had said hold: a person's approval is awaited; fd 3 is better."
    )
    events = json.loads(command("history", "gan", "--json"))
    assert [event["sentence"] for event in events] == sentences
    assert [(event["action"], event["source"]) for event in events] == [
        ("promote", "ledger"),
        ("reject", "version"),
        ("reject", "ledger"),
        ("approve", "ledger"),
    ]
