"""A page that an earlier version left is read as one of today, and stands beside today's in a comparison."""

import json

import pytest

from components.report.comparison import RunColumn, write_comparison
from components.report.content import PageContent
from components.report.older import read_content
from components.report.scores import protocol_facts


@pytest.fixture(scope="module")
def older(root):
    """What a page left at commit 205dce1, with fewer scores and pictures."""
    return json.loads((root / "tests/components/report/page_of_layout_1.json").read_text())


def test_every_score_and_protocol_of_an_older_page_is_read(older):
    content = read_content(json.dumps(older))
    for model, kept in zip(content.models, older["models"], strict=True):
        for subject, column in zip(model.subjects, kept["subjects"], strict=True):
            found = [
                (one.name, one.value, one.low, one.high, one.better, one.protocol.digest) for one in subject.scores
            ]
            names = ("metric", "value", "low", "high", "better", "protocol")
            assert found == [tuple(measure[name] for name in names) for measure in column["measures"]]
        said = {one.protocol.digest: protocol_facts(one.protocol) for one in model.subjects[0].scores}
        expected = {one["digest"]: one["facts"] for one in kept["protocols"]}
        assert {digest: [one.model_dump() for one in facts] for digest, facts in said.items()} == expected


def test_scores_on_fresh_data_are_read_too(older):
    fresh = {"ground": older["models"][0]["ground"], "subjects": older["models"][0]["subjects"][:1]}
    changed = {**older, "models": [{**older["models"][0], "fresh": fresh}]}
    (model,) = read_content(json.dumps(changed)).models
    assert model.fresh.subjects == model.subjects[:1]


def test_what_was_read_is_of_todays_layout(older):
    content = read_content(json.dumps(older))
    assert (
        read_content(content.model_dump_json()) == PageContent.model_validate_json(content.model_dump_json()) == content
    )


def test_an_older_page_and_a_new_one_share_the_rows_of_equal_protocols(older, tmp_path):
    content = read_content(json.dumps(older))
    again = content.model_copy(update={"run": content.run.model_copy(update={"name": "again"})})
    columns = [RunColumn(content=read_content(json.dumps(older))), RunColumn(content=again)]
    text = write_comparison(columns, tmp_path / "c.html").read_text()
    assert "not measured under this protocol" not in text
    assert text.count("Scores on evaluation set 1") == len(content.models)


@pytest.mark.parametrize("text", ["[]", "{}", '{"run": {}, "models": [{}]}', "no JSON"])
def test_what_is_no_page_is_refused(text):
    with pytest.raises(ValueError, match=r"\w"):
        read_content(text)


def test_a_protocol_of_another_version_is_refused(older):
    text = json.dumps(older).replace('"label": "implementation"', '"label": "made by"')
    with pytest.raises(ValueError, match="implementation"):
        read_content(text)
