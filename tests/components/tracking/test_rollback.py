"""A rollback keeps the gate's word, unless a person says who he is and why; and it can be undone."""

from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from components.tracking import registry
from components.tracking.registry import RefusedError, WithdrawnError
from components.tracking.standing import read_state
from flows.cli import command_line
from tests.components.tracking.conftest import five_registered


@pytest.fixture(scope="module")
def migrated(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database that each test has a copy of: 2 is champion over 1; the gate rejected 3, held 4, never saw 5."""
    with five_registered(tmp_path_factory.mktemp("judged"), migrated) as home:
        for version, against in ((1, None), (2, 1)):
            registry.record_decision("gan", version, "promote", ["better"], judged_against=against)
            registry.promote("gan", version, judged_against=against, by="gate")
        registry.record_decision("gan", 3, "reject", ["fd 9.1 is not better", "inside the noise"], judged_against=2)
        registry.record_decision("gan", 4, "hold", ["too few samples"], judged_against=2)
    return home / "mlflow.db"


@pytest.fixture
def judged(store: Path, loader: Path) -> Path:
    """The home with that registry."""
    return store


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], store: object) -> Callable[..., str]:
    """Call `kintsugi rollback` and return what it printed."""

    def call(*arguments: str) -> str:
        command_line()(["rollback", *arguments], exit_on_error=False, result_action="return_value")
        return capsys.readouterr().out

    return call


def at_home(store: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINTSUGI_HOME", str(store))


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (3, r"gan version 3: the gate said reject \(fd 9\.1 is not better; inside the noise\)"),
        (4, r"gan version 4: the gate said hold \(too few samples\)"),
        (5, r"gan version 5: the gate never judged it"),
    ],
)
def test_what_the_gate_did_not_let_through_is_refused_with_the_way_to_insist(
    judged: Path, version: int, words: str
) -> None:
    with pytest.raises(RefusedError, match=words) as caught:
        registry.rollback("gan", to=version)
    assert str(caught.value).endswith(f"kintsugi rollback gan --to {version} --override --by WHO --reason WHY")
    assert registry.champion("gan") == 2


def test_an_override_is_recorded_and_a_plain_rollback_undoes_it(judged: Path) -> None:
    standing = registry.rollback("gan", to=3, override=True, by="ada", reason="the test set is out of date")
    assert (standing.champion, standing.previous) == (3, 2)
    state = read_state(MlflowClient(), "gan")
    entry = state.history.entries[-1]
    assert (entry.action, entry.by, entry.reason, entry.override) == (
        "rollback",
        "ada",
        "the test set is out of date",
        True,
    )
    with pytest.raises(WithdrawnError, match="2 was rolled back before"):  # the next night does not undo it
        registry.promote("gan", 2, judged_against=3, by="gate")
    standing = registry.rollback("gan", by="grace")
    assert (standing.champion, standing.previous) == (2, 1)
    assert registry.rollback("gan").champion == 1


@pytest.mark.parametrize(("by", "reason"), [("", "why"), ("ada", "")])
def test_an_override_without_who_or_why_changes_nothing(judged: Path, by: str, reason: str) -> None:
    with pytest.raises(ValueError, match="who decided and why"):
        registry.rollback("gan", to=3, override=True, by=by, reason=reason)
    assert registry.champion("gan") == 2


def test_secrets_in_a_reason_do_not_reach_the_ledger(judged: Path) -> None:
    registry.rollback("gan", to=3, override=True, by="ada", reason="see https://ada:pass-word@wiki.example/gate")
    reason = read_state(MlflowClient(), "gan").history.entries[-1].reason
    assert reason == "see https://[redacted]@wiki.example/gate"


def test_the_command_says_what_happened_and_how_to_undo_it(
    judged: Path, command: Callable[..., str], store: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_home(store, monkeypatch)
    said = command("gan")
    assert said == ("gan: version 1 is in service, it was 2; previous is None\nUndo: kintsugi rollback gan --to 2\n")
    assert command("gan", "--to", "2").endswith("Undo: kintsugi rollback gan\n")
    said = command("gan", "--to", "3", "--override", "--by", "ada", "--reason", "a demonstration")
    assert "Against the gate's word, by ada: a demonstration" in said
    assert said.endswith("Undo: kintsugi rollback gan\n")
    assert command("gan").endswith("Undo: kintsugi rollback gan --to 3 --override --by WHO --reason WHY\n")
    assert command("gan", "--to", "2") == "gan: version 2 is in service already; nothing changed\n"
    for arguments in (["--override"], ["--by", "ada"], ["--reason", "x", "--to", "3"], ["--override", "--by", "a"]):
        with pytest.raises(ValueError, match="expected all four, or no override"):
            command("gan", *arguments)
