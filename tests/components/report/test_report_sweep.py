"""A sweep's page ranks the trials, says why some failed, and gives the best as a person sets it."""

import shlex
from datetime import UTC, datetime

import pytest
import yaml

from components.report.sweep import Judged, SweepContent, TrialRow, verdict, write_sweep

RATE, NETWORK = "recipe.optimizer.rate", "recipe.network"
SWEPT = SweepContent(
    run="emoji",
    model="vae",
    digest="0123456789abcdef0123",
    data="data 3",
    metric="reconstruction_error",
    places=(1_000, 9_000),
    reduction=3,
    trials=(
        TrialRow(
            rank=1,
            trial=4,
            values={RATE: 0.0031, NETWORK: {"kind": "conv", "width": 8}},
            scores=(0.3, 0.1),
            images=9_000,
            curve=((500, 0.4), (1_000, 0.3), (9_000, 0.1)),
        ),
        TrialRow(rank=2, trial=0, values={RATE: 1e-4, NETWORK: {"kind": "residual"}}, scores=(0.5,), images=1_000),
        TrialRow(
            rank=3,
            trial=1,
            values={RATE: 9.0, NETWORK: {"kind": "residual"}},
            scores=(None,),
            images=64,
            reason="rank 0 of 1 failed: DivergedError: <loss> is not finite",
        ),
    ),
    best=4,
    settings={f"models.vae.{RATE}": 0.0031, f"models.vae.{NETWORK}": {"kind": "conv", "width": 8}},
    overrides=(f"models.vae.{RATE}=0.0031", f"models.vae.{NETWORK}={{kind: conv, width: 8}}"),
    export="f" * 20,
    judged=(Judged(trial=4, seed=18, metric="reconstruction_psnr", better="higher", value=21.5, low=21.0, high=22.0),),
    hours={4: 1.5, 0: 0.2, 1: 0.01},
    written=datetime(2026, 11, 27, tzinfo=UTC),
)


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_sweep(SWEPT, tmp_path_factory.mktemp("pages") / "sweep.html").read_text()


def test_trials_stand_in_order_with_values_scores_and_reasons(html: str) -> None:
    table = html[html.index("<tbody>") : html.index("</tbody>")]
    places = [table.index(words) for words in ("1. trial 4", "0.0031", "2. trial 0 (as it is)", "3. trial 1", "failed")]
    assert places == sorted(places)
    assert "DivergedError: &lt;loss&gt; is not finite" in html


def test_the_best_is_given_as_a_command_and_as_a_file_take_it(html: str) -> None:
    assert shlex.split(SWEPT.arguments) == ["--set", SWEPT.overrides[0], "--set", SWEPT.overrides[1]]
    recipe = yaml.safe_load(SWEPT.fragment)["models"]["vae"]["recipe"]
    assert recipe == {"optimizer": {"rate": 0.0031}, "network": {"kind": "conv", "width": 8}}
    assert "--set models.vae.recipe.optimizer.rate=0.0031 --set &#39;models.vae.recipe.network={kind: conv" in html


def test_the_verdict_compares_where_both_were_measured() -> None:
    assert verdict(SWEPT) == (
        "Trial 4 came out best: reconstruction_error 0.1000. At 1,000 images it had 0.3000, the configuration as it is "
        "0.5000."
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"best": 0, "settings": {}, "overrides": ()}, "The configuration as it is came out best"),
        ({"best": None, "settings": {}, "overrides": ()}, "No trial was trained to the end yet; 1 of 3 have failed."),
        (
            {"best": None, "settings": {}, "overrides": (), "trials": ()},
            "No trial was trained to the end yet; 0 of 0 have failed.",
        ),
    ],
)
def test_where_nothing_better_was_found_nothing_is_to_be_set(changes, words, tmp_path) -> None:
    content = SWEPT.model_copy(update=changes)
    assert verdict(content).startswith(words)
    assert content.arguments == ""
    assert "--set" not in write_sweep(content, tmp_path / "sweep.html").read_text()


def test_a_page_reads_back_equal_from_its_json() -> None:
    assert SweepContent.model_validate_json(SWEPT.model_dump_json()) == SWEPT
