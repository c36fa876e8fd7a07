"""The leaderboard in a real browser: no network, nothing too wide, a table that sorts, filters and changes scores."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from components.report.leaderboard import Course, Look, Mark, Reign, VersionRow, write_leaderboard

pytestmark = pytest.mark.browser

VERSIONS = 80


def row(number: int) -> VersionRow:
    fid = 40 - number / 4 if number % 7 else 60.0
    marks = {"fid": Mark(fid, fid - 1, fid + 1, "old" if number < 3 else "new")}
    return VersionRow(
        number=number,
        decided=datetime(2026, 9, 1, tzinfo=UTC) + timedelta(days=number),
        verdict="reject" if number % 7 == 0 else "promote",
        reason=f"fid {fid:.4f} against the champion's, of the night of data {number}, which is a long reason",
        part="champion" if number == VERSIONS else None,
        served=number % 7 != 0,
        data=str(number),
        images="400,000",
        hours=number / 10 if number > 5 else None,
        marks=marks | ({"kid": Mark(number / 1000, number / 1000, number / 1000, "k")} if number % 2 else {}),
        page="./run.html" if number == VERSIONS else "",
    )


@pytest.fixture(scope="module")
def board(content, tmp_path_factory) -> Path:
    pages = next(model for model in content.models if model.samples).samples
    course = Course(
        name="openmoji-gan",
        family="gan",
        metric="fid",
        better={"fid": "lower", "kid": "lower"},
        rows=tuple(row(number) for number in range(VERSIONS, 0, -1)),
        reigns=tuple(Reign(since=number, version=number) for number in range(3, VERSIONS + 1) if number % 7),
        panels=next(model.panels for model in content.models if model.panels),
        looks=tuple(Look(version=f"version {place}", picture=one) for place, one in enumerate(pages)),
    )
    return write_leaderboard([course], ["dogs-gan is left out: no ledger"], tmp_path_factory.mktemp("board") / "l.html")


@pytest.fixture
def tab(browser: Browser, board: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    width, scheme = getattr(request, "param", (1280, "light"))
    opened = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    opened.complaints = []
    opened.on("console", lambda message: opened.complaints.append(message.text))
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.on(
        "request",
        lambda asked: None if asked.url.startswith(("file:", "data:")) else opened.complaints.append(asked.url[:200]),
    )
    opened.goto(board.as_uri())
    yield opened
    opened.close()


def numbers(tab: Page) -> list[int]:
    return [int(text.split()[0]) for text in tab.locator("tbody th[scope=row]:visible").all_inner_texts()]


@pytest.mark.parametrize("tab", [(1280, "light"), (390, "light"), (1280, "dark")], indirect=True)
def test_it_opens_whole_and_quietly(tab):
    tab.evaluate("Promise.all([...document.images].map(image => image.decode()))")
    assert tab.evaluate("[...document.images].filter(image => !image.naturalWidth).length") == 0
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert tab.complaints == []
    assert tab.get_by_text("50 of 80 shown").is_visible()
    assert tab.get_by_text("dogs-gan is left out").is_visible()


def test_the_newest_stand_first_and_all_are_shown_on_request(tab):
    assert numbers(tab) == list(range(80, 30, -1))
    tab.get_by_role("button", name="Show all 80").click()
    assert numbers(tab) == list(range(80, 0, -1))


def test_a_click_on_the_score_puts_the_best_first_and_what_is_not_comparable_last(tab):
    tab.get_by_role("button", name="Show all 80").click()
    tab.get_by_role("button", name="fid").click()
    assert numbers(tab)[:3] == [80, 79, 78]
    assert numbers(tab)[-2:] == [2, 1]
    assert tab.locator("th[aria-sort=ascending]").inner_text().startswith("fid")
    tab.get_by_role("button", name="fid").click()
    assert numbers(tab)[-2:] == [1, 2]
    assert numbers(tab)[0] % 7 == 0


def test_empty_places_come_last_whichever_way_is_sorted(tab):
    tab.get_by_role("button", name="Show all 80").click()
    for _ in range(2):
        tab.get_by_role("button", name="Hours").click()
        assert set(numbers(tab)[-5:]) == {1, 2, 3, 4, 5}


def test_versions_are_found_by_decision_and_by_words(tab):
    tab.get_by_label("Decision").select_option(label="rejected")
    assert numbers(tab) == [77, 70, 63, 56, 49, 42, 35, 28, 21, 14, 7]
    tab.get_by_label("Find").fill("2026-11 night")
    assert numbers(tab) == [77, 70, 63]
    assert tab.get_by_text("3 of 3 shown").is_visible()


def test_another_score_takes_the_place_of_the_deciding_one(tab):
    tab.locator("select.by-score").select_option("kid")
    cells = tab.locator("td.score:visible").all_inner_texts()
    assert cells[:2] == ["", "0.079000 [0.079000, 0.079000]"]
    tab.locator("select.by-score").select_option("fid")
    assert tab.locator("td.score:visible").first.inner_text() == "20.0 [19.0, 21.0]"


def test_without_scripts_all_versions_are_listed(browser, board):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(board.as_uri())
    assert numbers(tab) == list(range(80, 0, -1))
    assert not tab.get_by_label("Find").is_visible()
    context.close()
