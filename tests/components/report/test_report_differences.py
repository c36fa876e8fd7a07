"""What sets runs apart is told beyond noise, and only where runs differ."""

import pytest

from components.evaluation.protocol import Protocol, Score
from components.report.comparison import RunColumn, write_comparison
from components.report.content import CurvePlot, Line, ModelPage, PageContent, Subject
from components.report.costs import StageCost, money
from components.report.differences import configuration_rows, cost_rows, data_rows, scores_apart, seeds
from components.report.scores import score_rows
from components.training.config import PricePerHour

PROTOCOL = Protocol(metric="m", implementation="i", reference="r", samples=2)


def subject(name: str, value: float, *, half: float = 1.0, better: str = "lower", reference: str = "r") -> Subject:
    protocol = PROTOCOL.model_copy(update={"reference": reference})
    score = Score(name="fd", value=value, low=value - half, high=value + half, better=better, protocol=protocol)
    return Subject(name=name, role="model", scores=(score,))


def asked_for(content: PageContent, text: str, **changes: object) -> PageContent:
    return content.model_copy(update={"run": content.run.model_copy(update={"config": text}), **changes})


@pytest.mark.parametrize(
    ("second", "better", "verdict"),
    [(17.0, "lower", "better"), (23.0, "lower", "worse"), (19.0, "lower", "noise"), (23.0, "higher", "better")],
)
def test_a_difference_counts_only_beyond_the_noise_of_both_scores(second, better, verdict):
    rows = score_rows([subject("one", 20.0, better=better), subject("two", second, better=better)])
    (row,) = scores_apart(rows, 2)
    assert row.cells[0].verdict == verdict
    assert row.cells[0].text.startswith("+" if verdict == "better" or second == 19.0 else "\N{MINUS SIGN}")


def test_scores_that_were_measured_otherwise_have_no_difference():
    rows = score_rows([subject("one", 20.0), subject("two", 10.0, reference="other")])
    assert scores_apart(rows, 2) == ()


def test_baselines_are_no_run_to_be_set_apart():
    baseline = subject("random", 90.0).model_copy(update={"role": "baseline"})
    (row,) = scores_apart(score_rows([subject("one", 20.0), subject("two", 10.0), baseline]), 2)
    assert len(row.cells) == 1


def test_of_two_configurations_the_values_are_told_that_differ(content):
    one = asked_for(content, "seed: 3\nmodels: {gan: {training: {images: 100, batch: 8}}}\n")
    two = asked_for(content, "seed: 4\nmodels: {gan: {training: {images: 100, batch: 16, clip_norm: 1.5}}}\n")
    found = {row.label: row.values for row in configuration_rows([one, two])}
    assert found == {
        "seed": ("3", "4"),
        "models.gan.training.batch": ("8", "16"),
        "models.gan.training.clip_norm": ("", "1.5"),
    }
    assert seeds([one, two]) == ("3", "4")
    assert seeds([one, one]) == ("3",)


def test_data_that_grew_is_told_with_the_change_from_the_first_run(content):
    grown = content.data.model_copy(update={"digest": "f" * 20, "accepted": content.data.accepted + 101})
    found = {row.label: row.values for row in data_rows([content, content.model_copy(update={"data": grown})])}
    assert found == {"Digest": (content.data.digest, "f" * 20), "Images accepted": ("4,011", "4,112 (+101)")}


def test_costs_stand_beside_each_other_with_money_where_there_is_a_price(content):
    model = content.models[0]
    priced = model.model_copy(update={"price_per_hour": PricePerHour(core=0.1, gpu=2.0, currency="CHF")})
    found = {row.label: row.values for row in cost_rows([priced, model, ModelPage(name="inpainter")])}
    assert found["GPU hours"] == ("3", "3", "")
    assert found["Money"] == ("6.46 CHF", "", "")
    assert cost_rows([ModelPage(name="inpainter")]) == ()


def test_money_is_that_of_busy_cores_and_held_cards():
    cost = StageCost(stage="train", wall_s=3600, core_s=7200, card_s=3600, peak_bytes=1, written_bytes=1)
    assert money([cost], PricePerHour(core=0.5, gpu=2.0)) == "3.00 EUR"
    assert money([cost], None) == ""
    assert money([], PricePerHour(core=0.5)) == ""


def test_curves_are_shown_over_hours_for_the_runs_that_kept_the_time(content, tmp_path):
    plot = CurvePlot(title="loss", curves=(Line(name="loss", points=((100.0, 1.0), (200.0, 0.5))),))
    old = ModelPage(name="gan", plots=(plot,))
    new = old.model_copy(update={"clock": ((100.0, 0.5), (200.0, 1.0))})
    runs = [
        RunColumn(content=PageContent(run=content.run.model_copy(update={"name": name}), models=(model,)))
        for name, model in (("old", old), ("new", new))
    ]
    text = write_comparison(runs, tmp_path / "c.html").read_text()
    timed = text.partition("over hours of training")[2]
    assert "against hours of training. new ends at 0.5" in timed
    assert "old ends at" not in timed
    without = write_comparison([runs[0], runs[0]], tmp_path / "d.html").read_text()
    assert "hours of training" not in without
