"""Versions, promotion and rollback, on a real store: one champion, whatever is killed or races."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient

from components.recipes.interface import generating
from components.tracking import registry, runs, versions
from components.tracking.ledger import LedgerError
from components.tracking.packaging import AlteredModelError
from components.tracking.registry import ChampionMovedError, KeptDecision, WithdrawnError

Register = Callable[..., int]
LOADER = "tiny_serving"


def score_table(name: str, version: int) -> str | None:
    return versions.read_score_table(versions.read_version(MlflowClient(), name, version))


def aliases() -> dict[str, int]:
    return {alias: int(version) for alias, version in MlflowClient().get_registered_model("gan").aliases.items()}


def test_an_export_is_registered_once(registered: Register) -> None:
    assert [registered(1), registered(1), registered(2)] == [1, 2 - 1, 2]
    assert len(MlflowClient().search_logged_models(["1"])) == 2


def test_a_model_is_described_by_its_champion(registered: Register) -> None:
    registered(1)
    (record,) = registry.models()
    card, _, use = record.card.rpartition("\n\n")
    assert use.startswith("To use it while it is in service: `kintsugi serve --model gan`")
    assert record.model_copy(update={"card": card}).model_dump() == {
        "name": "gan",
        "family": "gan",
        "champion": None,
        "champion_since": None,
        "challenger": 1,
        "previous": None,
        "scores": {"fd": 1.0},
        "lineage": {"config": "c1", "shards": "abc"},
        "card": "**gan**, export `export-1`\n\nMade from: config `c1`, shards `abc`",
    }
    registry.promote("gan", 1, judged_against=None)
    registered(2)
    (record,) = registry.models()
    assert (record.champion, record.challenger, record.scores) == (1, 2, {"fd": 1.0})
    assert record.champion_since is not None
    assert timedelta(0) <= datetime.now(UTC) - record.champion_since < timedelta(minutes=2)


def test_promotion_moves_the_aliases(registered: Register) -> None:
    first, second = registered(1), registered(2)
    assert aliases() == {"challenger": 2}
    registry.promote("gan", first, judged_against=None, by="test")
    assert aliases() == {"champion": 1, "challenger": 2}
    registry.promote("gan", second, judged_against=1)
    assert aliases() == {"champion": 2, "previous": 1}
    assert registry.champion("gan") == 2
    assert registry.models()[0].challenger is None
    assert MlflowClient().get_model_version("gan", "2").tags["kintsugi.ledger_entry"] == "2"


def test_a_challenger_judged_against_an_old_champion_is_not_promoted(registered: Register) -> None:
    registered(1), registered(2)
    registry.promote("gan", 2, judged_against=None)
    with pytest.raises(ChampionMovedError, match="expected version None in service, found 2") as caught:
        registry.promote("gan", 1, judged_against=None)
    assert caught.value.champion == 2
    assert registry.promote("gan", 2, judged_against=None).champion == 2


def test_rollback_returns_to_the_previous_champion_and_the_withdrawn_stays_out(registered: Register) -> None:
    registered(1), registered(2)
    registry.promote("gan", 1, judged_against=None)
    with pytest.raises(ValueError, match="no earlier champion"):
        registry.rollback("gan")
    registry.promote("gan", 2, judged_against=1)
    standing = registry.rollback("gan", by="an operator")
    assert (standing.champion, standing.previous, standing.challenger) == (1, None, None)
    assert aliases() == {"champion": 1}
    with pytest.raises(WithdrawnError, match="2 was rolled back before"):
        registry.promote("gan", 2, judged_against=1)
    assert registry.promote("gan", 2, judged_against=1, again=True).champion == 2
    assert registry.rollback("gan").champion == 1


def test_a_rejected_version_is_no_challenger_and_a_held_one_still_is(registered: Register) -> None:
    version = registered(1)
    registry.record_decision("gan", version, "hold", ["too few samples"], judged_against=None)
    assert aliases() == {"challenger": 1}
    registry.record_decision("gan", version, "reject", ["not better", "inside the noise"], judged_against=None)
    assert aliases() == {}
    assert registry.decision("gan", version) == KeptDecision("reject", ("not better", "inside the noise"), None)
    assert registry.decision("gan", registered(2)) is None


def test_aliases_set_by_hand_are_set_right_again(registered: Register) -> None:
    registered(1), registered(2)
    registry.promote("gan", 1, judged_against=None)
    MlflowClient().set_registered_model_alias("gan", "champion", "2")
    assert registry.champion("gan") == 1
    assert registry.verify("gan", loader_module=LOADER) == (
        "gan: the alias champion points to 2, the ledger says 1; reconcile sets it",
    )
    registry.reconcile("gan")
    assert registry.verify("gan", loader_module=LOADER) == ()


def test_score_tables_are_kept_and_replaced(registered: Register) -> None:
    version = registered(1)
    assert score_table("gan", version) == '{"subject": 1}'
    client = MlflowClient()
    scores = registry.VersionScores({"fd": 9.0}, '{"subject": "again"}')
    versions.attach_scores(client, versions.read_version(client, "gan", version), scores)
    assert score_table("gan", version) == '{"subject": "again"}'
    assert registry.models()[0].scores == {"fd": 9.0}


def test_an_altered_score_table_is_refused(store: Path, registered: Register) -> None:
    version = registered(1)
    (table,) = store.rglob("scores/*.json")
    table.write_text("{}")
    with pytest.raises(AlteredModelError, match=r"its score table scores/gan-\w+.json was altered"):
        score_table("gan", version)


def test_a_downloaded_model_is_whole_and_predicts(registered: Register, tmp_path: Path) -> None:
    registered(3)
    registry.promote("gan", 1, judged_against=None)
    delivery = registry.download("gan", "champion", tmp_path / "served" / "1", loader_module=LOADER)
    assert sorted(path.name for path in delivery.export.iterdir()) == ["model.json", "model.safetensors"]
    assert registry.download("gan", 1, delivery.model, loader_module=LOADER) == delivery
    model = mlflow.pyfunc.load_model(str(delivery.model))
    assert model.predict(pd.DataFrame({"seed": [5, 6]})) == [{"image": "3:5"}, {"image": "3:6"}]
    assert [path.name for path in delivery.model.parent.iterdir()] == ["1"]


def test_no_file_of_a_stored_model_is_a_pickle(store: Path, registered: Register) -> None:
    registered(1)
    stored = [path for path in (store / "mlartifacts" / "models").rglob("*") if path.is_file()]
    assert {path.suffix for path in stored} == {"", ".yaml", ".txt", ".json", ".safetensors"}
    assert not any(path.read_bytes()[:2] in {b"\x80\x04", b"\x80\x05"} for path in stored)


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda file: file.write_bytes(b"other"), "model.safetensors has the sha256"),
        (lambda file: file.unlink(), "model.safetensors is missing"),
        (lambda file: (file.parent / "extra.py").write_text(""), "extra.py was not registered"),
    ],
)
def test_an_altered_model_is_never_delivered(
    store: Path, registered: Register, tmp_path: Path, alter: Callable[[Path], object], message: str
) -> None:
    version = registered(1)
    (weights,) = store.rglob("model.safetensors")
    alter(weights)
    with pytest.raises(AlteredModelError, match=message):
        registry.download("gan", version, tmp_path / "served", loader_module=LOADER)
    assert not (tmp_path / "served").exists()
    (problem,) = registry.verify("gan", loader_module=LOADER)
    assert message in problem


def test_what_lies_in_the_way_is_not_overwritten(registered: Register, tmp_path: Path) -> None:
    version = registered(1)
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="in the way"):
        registry.download("gan", version, tmp_path / "served", loader_module=LOADER)
    assert (tmp_path / "served" / "mine.txt").read_text() == "mine"


def test_a_deleted_ledger_stops_promotion_and_delivery(registered: Register, tmp_path: Path) -> None:
    registered(1)
    ledger = MlflowClient().get_registered_model("gan").tags["kintsugi.ledger"]
    MlflowClient().delete_run(ledger)
    with pytest.raises(LedgerError, match="mlflow runs restore"):
        registry.promote("gan", 1, judged_against=None)
    with pytest.raises(LedgerError, match="mlflow runs restore"):
        registry.download("gan", "champion", tmp_path / "served", loader_module=LOADER)
    assert "mlflow runs restore" in registry.verify("gan", loader_module=LOADER)[0]


def test_a_deleted_previous_version_is_passed_over(registered: Register) -> None:
    for value in (1, 2, 3):
        registry.promote("gan", registered(value), judged_against=value - 1 or None)
    MlflowClient().delete_model_version("gan", "2")
    assert registry.reconcile("gan").previous == 1
    assert registry.rollback("gan").champion == 1


def test_a_deleted_champion_is_named_and_can_be_rolled_back(registered: Register) -> None:
    for value in (1, 2):
        registry.promote("gan", registered(value), judged_against=value - 1 or None)
    MlflowClient().delete_model_version("gan", "2")
    with pytest.raises(LedgerError, match="its champion, version 2, was deleted; roll back"):
        registry.reconcile("gan")
    assert registry.rollback("gan").champion == 1


def test_users_mistakes_are_named(registered: Register, tmp_path: Path) -> None:
    registered(1)
    with pytest.raises(ValueError, match="gan has no version 9; there are: 1"):
        registry.promote("gan", 9, judged_against=None)
    with pytest.raises(ValueError, match="no model 'van' is registered; there are: gan"):
        registry.champion("van")
    with pytest.raises(ValueError, match="gan has no champion yet"):
        registry.download("gan", "champion", tmp_path / "served", loader_module=LOADER)
    common = {"lineage": {}, "run_id": runs.open_run("kintsugi", "x", "x")}
    with pytest.raises(ValueError, match="letters, digits, _ and - only"):
        registry.register("a b", registry.Export(tmp_path, "d", "gan", generating()), **common)
    with pytest.raises(ValueError, match="found no files"):
        registry.register("vae", registry.Export(tmp_path / "no", "d", "vae", generating()), **common)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "model.pt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"holds model\.pt; .* never pickles"):
        registry.register("vae", registry.Export(tmp_path / "bad", "d", "vae", generating()), **common)


def test_a_model_without_a_ledger_is_left_alone(registered: Register) -> None:
    MlflowClient().create_registered_model("gan")
    with pytest.raises(LedgerError, match="not made by this program"):
        registered(1)


def test_promoters_that_race_end_with_one_champion(registered: Register) -> None:
    versions = [registered(value) for value in (1, 2, 3)]
    gate = threading.Barrier(len(versions))
    outcomes: dict[int, object] = {}

    def promote(version: int) -> None:
        gate.wait()
        try:
            outcomes[version] = registry.promote("gan", version, judged_against=None)
        except ChampionMovedError as error:
            outcomes[version] = error.champion

    promoters = [threading.Thread(target=promote, args=(version,)) for version in versions]
    for promoter in promoters:
        promoter.start()
    for promoter in promoters:
        promoter.join()
    winner = registry.champion("gan")
    losers = [version for version in versions if version != winner]
    assert [outcomes[version] for version in losers] == [winner] * len(losers)
    assert aliases()["champion"] == winner
    assert registry.verify("gan", loader_module=LOADER) == ()


class Killed(BaseException):
    """What a process that is killed leaves undone; nothing catches it."""


WRITES = [
    "create_experiment", "create_run", "log_param", "set_terminated", "create_registered_model", "create_logged_model",
    "log_model_artifacts", "set_logged_model_tags", "log_outputs", "finalize_logged_model", "create_model_version",
    "set_model_version_tag", "log_text", "set_registered_model_alias", "delete_registered_model_alias", "delete_run",
]  # fmt: skip


@contextmanager
def killed_before(write: int) -> Iterator[list[str]]:
    """Die before the `write`-th write to MLflow, which is also just after the one before it."""
    made: list[str] = []

    def dying(real: Callable[..., object]):
        def call(self, *arguments, **options):
            made.append(real.__name__)
            if len(made) == write:
                raise Killed
            return real(self, *arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch, suppress(Killed):
        for name in WRITES:
            patch.setattr(MlflowClient, name, dying(getattr(MlflowClient, name)))
        yield made


@pytest.mark.slow
def test_a_promotion_killed_at_any_write_is_finished_by_reconcile_and_by_the_next_call(registered: Register) -> None:
    champion = registered(1)
    registry.promote("gan", champion, judged_against=None)
    for write in range(1, 10):
        challenger = registered(1 + write)
        with killed_before(write) as made:
            registry.promote("gan", challenger, judged_against=champion)
        registry.reconcile("gan")
        assert registry.champion("gan") == (champion if write == 1 else challenger)
        assert aliases()["champion"] == registry.champion("gan")
        registry.promote("gan", challenger, judged_against=champion)
        assert aliases() == {"champion": challenger, "previous": champion}
        if len(made) < write:
            break
        champion = challenger
    assert made == [
        "log_param",
        "set_model_version_tag",
        "set_registered_model_alias",
        "delete_registered_model_alias",
        "set_registered_model_alias",
    ]
    assert registry.verify("gan", loader_module=LOADER) == ()


@pytest.mark.slow
def test_a_registration_killed_at_any_write_is_finished_by_the_next_call(registered: Register) -> None:
    for write in range(1, 40):
        name = f"gan-{write}"
        with killed_before(write) as made:
            registered(write, name)
        assert registered(write, name) == 1
        assert [int(kept.version) for kept in MlflowClient().search_model_versions(f"name = '{name}'")] == [1]
        assert score_table(name, 1) == f'{{"subject": {write}}}'
        assert registry.verify(name, loader_module=LOADER) == ()
        if len(made) < write:
            break
    assert set(made) >= {"log_param", "create_registered_model", "log_model_artifacts", "create_model_version"}
