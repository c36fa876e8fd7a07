"""The content refuses what cannot be shown and survives its own JSON."""

import math
from datetime import datetime

import pytest
from pydantic import ValidationError

from components.evaluation.protocol import Protocol, Score
from components.report.content import (
    Line,
    Link,
    ModelPage,
    PageContent,
    PanelRow,
    Panels,
    Picture,
    RunFacts,
    Subject,
)

DOT = Picture(content=b"\x89PNG\r\n\x1a\n", alt="a dot")


def test_content_reads_back_equal_from_its_json(content):
    assert PageContent.model_validate_json(content.model_dump_json()) == content


def test_numbers_that_are_not_finite_survive_json():
    line = Line(name="loss", points=((1, math.nan), (2, math.inf)))
    back = Line.model_validate_json(line.model_dump_json())
    assert math.isnan(back.points[0][1])
    assert back.points[1][1] == math.inf


@pytest.mark.parametrize("url", ["javascript:alert(1)", "JavaScript:alert(1)", "data:text/html,x", "vbscript:x"])
def test_links_that_run_code_are_refused(url):
    with pytest.raises(ValidationError, match="http, https or file"):
        Link(label="x", url=url)


@pytest.mark.parametrize("url", ["https://a/b:c", "../run/index.html", "./a:b.html", "file:///tmp/x", "page.html#a:b"])
def test_ordinary_links_are_taken(url):
    assert Link(label="x", url=url).url == url


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(ValidationError, match="timezone"):
        RunFacts(name="a", finished=datetime(2026, 1, 1), config_digest="d", command="c")


def test_ragged_panels_are_refused():
    with pytest.raises(ValidationError, match="1 pictures for 2 columns"):
        Panels(columns=("a", "b"), rows=(PanelRow(label="x", pictures=(DOT,)),), after=1)


def test_a_slider_over_a_column_that_is_not_there_is_refused():
    with pytest.raises(ValidationError, match="there are 2 columns"):
        Panels(columns=("a", "b"), rows=(PanelRow(label="x", pictures=(DOT, DOT)),))


def test_two_models_of_one_name_are_refused(content):
    with pytest.raises(ValidationError, match="same name"):
        PageContent(run=content.run, models=(content.models[0], content.models[0]))


def test_a_picture_needs_words_for_those_who_cannot_see_it():
    with pytest.raises(ValidationError):
        Picture(content=DOT.content, alt="")


def test_a_picture_can_come_from_a_file(tmp_path):
    (tmp_path / "a.png").write_bytes(DOT.content)
    assert Picture.of_file(tmp_path / "a.png", "a dot") == DOT


def test_unknown_fields_are_refused():
    with pytest.raises(ValidationError):
        ModelPage(name="a", colour="red")


def test_the_values_of_single_pictures_stay_out_of_a_page():
    protocol = Protocol(metric="m", implementation="i", reference="r", samples=2)
    score = Score(name="psnr", value=2, low=1, high=3, better="higher", protocol=protocol, per_image=(1.5, 2.5))
    (kept,) = Subject(name="model", role="model", scores=(score,)).scores
    assert kept == score.model_copy(update={"per_image": None})
