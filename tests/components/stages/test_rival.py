"""A run is set beside the run whose model it had to beat, or else beside the one before it."""

from datetime import UTC, datetime, timedelta

import pytest

from components.artifacts import Store
from components.report.content import ModelPage, PageContent, RunFacts
from components.report.page import write_page
from components.stages.candidate import Promotion
from components.stages.outcome import Page
from components.stages.rival import comparison_command, comparison_url, rival_of


@pytest.fixture
def publish(tmp_path):
    """Leave the page of a run in the folder of pages: its name, its day, the version of its model."""

    def published(name: str, day: int, version: int) -> Page:
        page = Store(tmp_path / "store").materialise(Page, {"name": name, "day": day}, lambda draft: {"name": name})
        finished = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(days=day)
        run = RunFacts(name=name, finished=finished, config_digest="c0ffee", command="kintsugi run")
        content = PageContent(run=run, models=(ModelPage(name="gan", version=str(version)),))
        write_page(content, tmp_path / "pages" / page.file_name)
        return page

    return published


def promotion(judged_against: int | None) -> Promotion:
    return Promotion(
        model="cats-gan",
        version=9,
        verdict="reject",
        reasons=("no better",),
        judged_against=judged_against,
        champion=judged_against,
        champion_scores=None,
    )


def test_the_run_of_the_champion_is_the_rival_though_later_ones_were_rejected(publish, tmp_path):
    first, _second, third = (publish("cats", day, day) for day in (1, 2, 3))
    publish("dogs", 4, 1)
    assert rival_of(third, [promotion(1)], tmp_path / "pages") == first.label


def test_without_a_champion_it_is_the_run_before(publish, tmp_path):
    _first, second, third = (publish("cats", day, day) for day in (1, 2, 3))
    assert rival_of(third, [promotion(None)], tmp_path / "pages") == second.label
    assert rival_of(third, [promotion(77)], tmp_path / "pages") == second.label, "its page is not on this machine"


def test_the_first_run_of_a_name_has_none(publish, tmp_path):
    publish("dogs", 1, 1)
    assert rival_of(publish("cats", 2, 1), [promotion(None)], tmp_path / "pages") is None


def test_people_are_led_to_the_service_or_told_the_command(publish, monkeypatch):
    one, two = publish("cats", 1, 1), publish("cats", 2, 2)
    monkeypatch.delenv("KINTSUGI_URL", raising=False)
    assert comparison_url(two, one.label) is None
    assert comparison_command(two, one.label) == f"kintsugi compare {two.label} {one.label}"
    monkeypatch.setenv("KINTSUGI_URL", "https://team.example/kintsugi/")
    url = f"https://team.example/kintsugi/compare?run={two.label}&run={one.label}"
    assert comparison_url(two, one.label) == url
