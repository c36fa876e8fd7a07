"""The comparison sets side by side only what can be compared."""

import pytest

from components.evaluation.protocol import Protocol, Score
from components.report.comparison import RunColumn, write_comparison
from components.report.content import Link, ModelPage, PageContent, Subject


def run_of(content: PageContent, name: str, *models: ModelPage) -> RunColumn:
    run = content.run.model_copy(update={"name": name})
    return RunColumn(content=PageContent(run=run, models=models), page=Link(label=name, url=f"../{name}/index.html"))


def scored(reference: str, value: float) -> ModelPage:
    protocol = Protocol(metric="m", implementation="i", reference=reference, samples=2)
    score = Score(name="fd", value=value, low=value, high=value, better="lower", protocol=protocol)
    return ModelPage(name="gan", subjects=(Subject(name="gan", role="model", scores=(score,)),))


def test_equal_protocols_share_a_row(content, tmp_path):
    columns = [run_of(content, "one", scored("p", 3.0)), run_of(content, "two", scored("p", 2.0))]
    text = write_comparison(columns, tmp_path / "c.html").read_text()
    assert text.count('<th scope="row">fd<span') == 1
    assert text.count('<th scope="row">fd <span class="muted"') == 1, "one row of differences"
    assert "not comparable" not in text


def test_different_protocols_get_rows_of_their_own_and_the_page_says_so(content, tmp_path):
    columns = [run_of(content, "one", scored("p", 3.0)), run_of(content, "two", scored("q", 2.0))]
    text = write_comparison(columns, tmp_path / "c.html").read_text()
    assert text.count('<th scope="row">fd') == 2
    assert "not comparable" in text
    assert '<span class="best">' not in text


def test_pictures_are_set_side_by_side_only_where_the_corruption_is_the_same(content, tmp_path):
    model = content.models[0]
    first, *others = model.panels.rows
    changed = first.model_copy(update={"pictures": (first.pictures[0], *first.pictures[2:], first.pictures[1])})
    other = model.model_copy(update={"panels": model.panels.model_copy(update={"rows": (changed, *others)})})
    text = write_comparison(
        [run_of(content, "one", model), run_of(content, "two", other)], tmp_path / "c.html"
    ).read_text()
    assert text.count('<tr class="views"') == len(others)
    assert f'title="{first.label}"' not in text


def test_runs_of_one_name_are_told_apart(content, tmp_path):
    twins = [run_of(content, "same", scored("p", 3.0)), run_of(content, "same", scored("p", 3.0))]
    text = write_comparison(twins, tmp_path / "c.html").read_text()
    assert "#1" in text
    assert "#2" in text


def test_a_family_that_only_one_run_has_is_still_shown(content, tmp_path):
    columns = [run_of(content, "one", scored("p", 3.0)), run_of(content, "two", ModelPage(name="vae"))]
    text = write_comparison(columns, tmp_path / "c.html").read_text()
    assert "No run has scores" in text


def test_curves_of_equal_name_and_protocol_share_axes(content, tmp_path):
    model = content.models[1]
    columns = [run_of(content, "one", model), run_of(content, "two", model)]
    text = write_comparison(columns, tmp_path / "c.html").read_text()
    assert text.count("one ends at") == text.count("two ends at") == 3


def test_one_run_is_not_a_comparison(content, tmp_path):
    with pytest.raises(ValueError, match="at least two runs, found 1"):
        write_comparison([run_of(content, "one")], tmp_path / "c.html")


def test_names_in_a_comparison_cannot_become_markup(content, tmp_path):
    attack = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"
    columns = [run_of(content, f"{attack}{place}", scored(attack, 3.0)) for place in (1, 2)]
    text = write_comparison(columns, tmp_path / "c.html").read_text()
    assert "&lt;script&gt;alert" in text
    assert text.count("<script>") <= 1
    assert "<img src=x" not in text
