"""What MLflow shows of a model and its versions is enough to know what they are, and holds no secret."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from components.recipes.interface import mending
from components.tracking import registry, runs
from components.tracking.cards import SCORES, headline, score_rows, version_card
from components.tracking.packaging import DIGEST_TAG
from components.tracking.versions import Version

TABLE = {
    "subject": "e",
    "rows": {
        "model": [
            {"name": "psnr_hole/0.1-0.2", "value": 9.0, "low": 8.0, "high": 10.0, "better": "higher"},
            {"name": "psnr_hole", "value": 17.5, "low": 16.81, "high": 18.2, "better": "higher"},
            {"name": "lpips", "value": 0.2, "low": 0.1, "high": 0.3, "better": "lower"},
        ],
        "biharmonic": [
            {"name": "psnr_hole", "value": 15.42, "low": 15.0, "high": 15.9},
            {"name": "lpips", "value": 0.5},
        ],
        "mean": [{"name": "psnr_hole", "value": 12.0}, {"name": "lpips", "value": 0.4}],
    },
}


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        (None, "psnr_hole 17.5 (95 %: 16.81 to 18.2), higher is better; best baseline: biharmonic 15.42"),
        ("lpips", "lpips 0.2 (95 %: 0.1 to 0.3), lower is better; best baseline: mean 0.4"),
        ("psnr_hole/0.1-0.2", "psnr_hole/0.1-0.2 9 (95 %: 8 to 10), higher is better"),
        ("fid", ""),
    ],
)
def test_the_main_score_is_said_with_its_interval_and_the_best_baseline(metric: str | None, words: str) -> None:
    assert headline(json.dumps(TABLE), metric) == words


def test_a_version_says_what_it_is_how_good_and_what_the_gate_said(
    store: Path, loader: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a long secret word")
    export = tmp_path / "export"
    export.mkdir()
    (export / "model.json").write_text("{}")
    (export / "model.safetensors").write_bytes(b"")
    version = registry.register(
        "team-inpainter",
        registry.Export(export, "e1", "inpainter", mending()),
        lineage={"shards": "abc", "note": "a long secret word"},
        run_id=runs.open_run("team", "inpainter", "digest"),
        scores=registry.VersionScores({"psnr_hole": 17.5}, json.dumps(TABLE), "psnr_hole"),
        facts={"images seen": "48,000"},
    )
    kept = MlflowClient().get_model_version("team-inpainter", str(version))
    assert kept.description == (
        "**inpainter**, export `e1`\n- images seen: 48,000\n"
        "- psnr_hole 17.5 (95 %: 16.81 to 18.2), higher is better; best baseline: biharmonic 15.42\n"
        "\nMade from: note `[redacted]`, shards `abc`\n"
        "\nTo use it while it is in service: `kintsugi serve --model team-inpainter`, which checks every file first. "
        "This version, whatever is in service, from Python with kintsugi installed: "
        '`mlflow.pyfunc.load_model("models:/team-inpainter/1")`, which checks none.\n'
        "\n| score (95 % interval) | better | model | biharmonic | mean |\n| --- | --- | --- | --- | --- |\n"
        "| psnr_hole | higher | 17.5 (16.81 to 18.2) | 15.42 (15 to 15.9) | 12 |\n"
        "| lpips | lower | 0.2 (0.1 to 0.3) | 0.5 | 0.4 |"
    )
    registry.record_decision("team-inpainter", version, "reject", ["not better", "within noise"], judged_against=7)
    card = MlflowClient().get_model_version("team-inpainter", str(version)).description
    assert "Decided: **reject**, judged against version 7\n- not better\n- within noise" in card
    (record,) = registry.models()
    assert record.card == card
    model = MlflowClient().get_registered_model("team-inpainter").description
    assert model.startswith("A model of the family `inpainter` that mends images, trained, judged and promoted by")
    assert "kintsugi repair IMAGE --model team-inpainter" in model


def test_a_model_from_before_gets_its_description_at_the_next_registration(registered: Callable[..., int]) -> None:
    registered(1)
    MlflowClient().update_registered_model("gan", "")
    registered(2)
    described = MlflowClient().get_registered_model("gan").description
    assert described.startswith("A model of the family `gan` that makes images, trained")


def test_the_page_of_a_model_shows_the_card_of_its_champion_and_keeps_what_people_wrote_above(
    registered: Callable[..., int],
) -> None:
    client = MlflowClient()

    def promote(version: int, against: int | None) -> str:
        registered(version)
        registry.record_decision("gan", version, "promote", [f"reason {version}"], judged_against=against)
        registry.promote("gan", version, judged_against=against)
        return str(client.get_registered_model("gan").description)

    first = promote(1, None)
    assert first.startswith("A model of the family `gan` that makes images")
    assert "In service: version 1\n\n**gan**, export `export-1`" in first
    client.update_registered_model("gan", f"Ask ada.\n\n{first}")
    second = promote(2, 1)
    assert second.startswith("Ask ada.\n\nA model of the family `gan`")
    assert second.count("In service: ") == 1
    assert "In service: version 2" in second
    assert "reason 2" in second
    assert "reason 1" not in second
    registry.rollback("gan")
    assert "In service: version 1" in str(client.get_registered_model("gan").description)


def test_a_long_table_of_scores_is_cut_between_rows_and_the_card_stays_within_what_mlflow_keeps() -> None:
    scores = [{"name": f"score_{n:03}", "value": n, "low": n, "high": n, "better": "higher"} for n in range(400)]
    rows = score_rows(json.dumps({"rows": {"model": scores, "mean": scores}}), "score_250").splitlines()
    assert rows[2].startswith("| score_250 | higher | 250 (250 to 250) | 250 (250 to 250) |")
    assert rows[3].startswith("| score_000 |")
    assert len("\n".join(rows)) <= 4000
    assert all(row.endswith(" |") for row in rows)
    version = Version("gan", 1, "m", "r", {DIGEST_TAG: "e", SCORES: "\n".join(rows), "fact.note": "x" * 3000})
    card = version_card(version)
    assert 3900 < len(card) <= 4000
    assert card.splitlines()[-1] in rows


def test_scores_without_a_model_make_no_table() -> None:
    assert score_rows(json.dumps({"rows": {"mean": [{"name": "l1", "value": 1.0, "better": "lower"}]}}), None) == ""


def test_a_version_shows_the_picture_that_its_run_has() -> None:
    tags = {DIGEST_TAG: "e1", "kintsugi.picture": "evaluation/pictures/samples.png"}
    card = version_card(Version("team-gan", 1, "m", "r1", tags))
    assert "](get-artifact?run_uuid=r1&path=evaluation%2Fpictures%2Fsamples.png)](#/runs/r1/artifacts)" in card
    assert "get-artifact" not in version_card(Version("team-gan", 1, "m", "r1", {DIGEST_TAG: "e1"}))
