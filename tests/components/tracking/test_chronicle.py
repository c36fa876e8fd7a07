"""What was decided on a model reads as it happened: five promotions and two rollbacks, and what the gate held since."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from components.tracking import chronicle, registry
from components.tracking.attempts import attempt_of
from components.tracking.ledger import History
from components.tracking.standing import State
from components.tracking.versions import Version
from flows.cli import command_line
from tests.components.tracking.conftest import configured, loading, registering


@pytest.fixture(scope="module")
def migrated(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database that each test has a copy of: five promotions, two rollbacks by command, and one version held."""
    folder = tmp_path_factory.mktemp("history")
    with pytest.MonkeyPatch.context() as patch:
        loading(folder / "loader", patch)
        home = configured(folder / "home", migrated)
        patch.setenv("KINTSUGI_HOME", str(home))
        register = registering(folder / "exports")

        def promote(version: int, against: int | None) -> None:
            register(version)
            words = f"fd {9 - version} is better" if against else "there is no champion yet"
            registry.record_decision("gan", version, "promote", [words], judged_against=against)
            registry.promote("gan", version, judged_against=against, by="gate")

        for version, against in ((1, None), (2, 1), (3, 2)):
            promote(version, against)
        called("rollback", "gan")
        promote(4, 2)
        promote(5, 4)
        called("rollback", "gan")
        register(6)
        registry.record_decision("gan", 6, "hold", ["no baseline was measured"], judged_against=4)
    return home / "mlflow.db"


def called(*arguments: str) -> None:
    """Call a command of the tool as its users do, but in this process."""
    command_line()(list(arguments), exit_on_error=False, result_action="return_value")


def without_time(sentence: str) -> str:
    when, rest = sentence.split("  ", 1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", when), sentence
    return rest


def test_five_promotions_and_two_rollbacks_read_as_they_happened(
    store: Path, loader: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KINTSUGI_HOME", str(store))
    called("history", "gan")
    assert [without_time(line) for line in capsys.readouterr().out.splitlines()] == [
        "the gate promoted version 1, which replaces no champion. Why: there is no champion yet.",
        "the gate promoted version 2, which replaces version 1. Why: fd 7 is better.",
        "the gate promoted version 3, which replaces version 2. Why: fd 6 is better.",
        "kintsugi rollback returned to version 2 from version 3.",
        "the gate promoted version 4, which replaces version 2. Why: fd 5 is better.",
        "the gate promoted version 5, which replaces version 4. Why: fd 4 is better.",
        "kintsugi rollback returned to version 4 from version 5.",
        "the gate held version 6, judged against version 4. Why: no baseline was measured.",
    ]


def test_each_event_says_who_was_in_service_before_and_after(store: Path, loader: Path) -> None:
    events = chronicle.history("gan")
    assert [event.champion_before for event in events] == [None, 1, 2, 3, 2, 4, 5, 4]
    assert [event.champion for event in events] == [1, 2, 3, 2, 4, 5, 4, 4]
    assert [event.source for event in events] == ["ledger"] * 7 + ["version"]


def test_what_the_gate_said_is_read_from_the_ledger_and_not_from_tags_that_can_be_edited(
    store: Path, loader: Path
) -> None:
    MlflowClient().set_model_version_tag("gan", "2", "gate.reasons", '["forged"]')
    assert chronicle.history("gan")[1].gate == "promote: fd 7 is better"


def test_a_model_that_is_not_registered_is_said_with_those_that_are(store: Path, loader: Path) -> None:
    with pytest.raises(ValueError, match="no model 'vae' is registered; there are: gan"):
        chronicle.history("vae")


def test_an_attempt_counts_what_was_registered_in_the_days_before_it_whenever_it_is_asked() -> None:
    day = 86_400.0
    created = {1: 0.0, 2: 5 * day, 3: 8 * day, 4: 8 * day}
    versions = {number: Version("gan", number, "m", "r", {}, created_s=at) for number, at in created.items()}
    state = State("gan", "ledger", {}, History(), versions)
    assert [attempt_of(state, number, 7) for number in versions] == [1, 2, 2, 3]
    assert [attempt_of(state, number, 30) for number in versions] == [1, 2, 3, 4]
    assert [attempt_of(state, number, 0) for number in versions] == [1, 1, 1, 1]


def test_deleting_versions_does_not_take_back_attempts(store: Path, loader: Path) -> None:
    for number in ("2", "5"):
        MlflowClient().delete_model_version("gan", number)
    assert registry.attempt("gan", 6, 7) == 6


def test_a_registered_version_is_counted_from_the_time_that_the_registry_keeps(store: Path, loader: Path) -> None:
    assert [registry.attempt("gan", number, 7) for number in (1, 4, 6)] == [1, 4, 6]


def test_an_overridden_gate_is_said_so(store: Path, loader: Path, registered: Callable[..., int]) -> None:
    registry.rollback("gan", to=6, override=True, by="grace", reason="all is known")
    last = chronicle.history("gan")[-1]
    assert without_time(last.sentence) == (
        "grace put version 6 in service in place of version 4, without the gate's consent. Why: all is known. "
        "The gate had said hold: no baseline was measured."
    )
