"""The pages in a real browser: all pictures seen, no network, nothing too wide, controls that work."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from components.report.comparison import RunColumn, write_comparison
from components.report.content import PageContent
from components.report.index import rebuild_index
from components.report.page import write_page
from components.report.sweep import write_sweep
from tests.components.report.test_report_sweep import SWEPT

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def pages(content: PageContent, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    again = content.model_copy(update={"run": content.run.model_copy(update={"name": "again"})})
    return {
        "page": write_page(content, folder / "run" / "index.html"),
        "comparison": write_comparison([RunColumn(content=content), RunColumn(content=again)], folder / "compare.html"),
        "index": rebuild_index(folder),
        "sweep": write_sweep(SWEPT, folder / "sweep.html"),
    }


def open_all(tab: Page) -> None:
    tab.get_by_role("button", name="Open all").click()


@pytest.fixture(params=[(1280, "light"), (390, "light"), (390, "dark")], ids=lambda p: f"{p[0]}-{p[1]}")
def tab(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    width, scheme = request.param
    opened = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    opened.complaints = []
    opened.on("console", lambda message: opened.complaints.append(message.text))
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.on("requestfailed", lambda failed: opened.complaints.append(failed.url[:200]))
    opened.on(
        "request",
        lambda asked: None if asked.url.startswith(("file:", "data:")) else opened.complaints.append(asked.url[:200]),
    )
    yield opened
    opened.close()


@pytest.mark.parametrize("name", ["page", "comparison", "index", "sweep"])
def test_a_page_opens_whole_and_quietly(pages, tab, name):
    tab.goto(pages[name].as_uri())
    tab.evaluate("Promise.all([...document.images].map(image => image.decode()))")
    unseen = tab.evaluate("[...document.images].filter(image => !image.naturalWidth).map(image => image.alt)")
    assert unseen == []
    assert tab.complaints == []
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if name == "page":
        open_all(tab)
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert tab.locator("h1").count() == 1
    assert tab.evaluate("[...document.querySelectorAll('table')].every(t => t.caption && t.caption.textContent.trim())")


def test_a_page_is_at_most_3000_px_tall_until_one_asks_for_more(pages, browser):
    tab = browser.new_page(viewport={"width": 1280, "height": 844})
    tab.goto(pages["page"].as_uri())
    height = "document.documentElement.scrollHeight"
    folded = tab.evaluate(height)
    assert folded <= 3000
    open_all(tab)
    assert tab.evaluate(height) > 2 * folded
    tab.close()


def test_the_verdicts_stand_in_what_is_seen_first(pages, browser):
    tab = browser.new_page(viewport={"width": 390, "height": 844})
    tab.goto(pages["page"].as_uri())
    for verdict in tab.locator(".verdicts .verdict").all():
        assert verdict.bounding_box()["y"] < 844
    tab.close()


def test_a_link_to_a_folded_section_opens_it(pages, browser):
    tab = browser.new_page()
    tab.goto(pages["page"].as_uri())
    assert not tab.locator("#data table").first.is_visible()
    tab.locator("nav a", has_text="Data").click()
    tab.locator("#data table").first.wait_for(state="visible")
    tab.close()


def test_dark_mode_changes_the_paper(pages, browser):
    papers = set()
    for scheme in ("light", "dark"):
        tab = browser.new_page(color_scheme=scheme)
        tab.goto(pages["page"].as_uri())
        papers.add(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
        tab.close()
    assert len(papers) == 2


def test_the_compare_slider_follows_the_keyboard_and_the_choice_of_sample(pages, browser):
    tab = browser.new_page()
    tab.goto(pages["page"].as_uri())
    open_all(tab)
    slider = tab.locator(".compare input[type=range]")
    slider.press("End")
    assert tab.evaluate("document.querySelector('.compare-stage').style.getPropertyValue('--cut')") == "100%"
    before = tab.locator(".compare-stage img").first.get_attribute("alt")
    tab.locator(".compare select").select_option(index=2)
    assert tab.locator(".compare-stage img").first.get_attribute("alt") != before
    tab.close()


def test_the_film_shows_one_moment_at_a_time(pages, browser):
    tab = browser.new_page()
    tab.goto(pages["page"].as_uri())
    open_all(tab)
    film = tab.locator(".film:not([data-start])")
    assert film.locator("figure:visible").count() == 1
    control = tab.locator(".film-control").last
    control.locator("input").press("Home")
    assert control.locator("output").inner_text() == "2k images"
    tab.close()


def test_a_direction_begins_in_the_middle_and_is_moved_along_by_itself(pages, browser):
    tab = browser.new_page()
    tab.goto(pages["page"].as_uri())
    tab.locator("summary", has_text="Inside").click()
    first, second = (tab.locator(".film-control").nth(number) for number in (0, 1))
    assert [one.locator("output").inner_text() for one in (first, second)] == ["as drawn", "as drawn"]
    first.locator("input").press("End")
    assert [one.locator("output").inner_text() for one in (first, second)] == ["+2 deviations", "as drawn"]
    strips = tab.locator(".film[data-start]")
    assert strips.nth(0).locator("figure:visible img").get_attribute("alt") == "+2 deviations"
    assert strips.locator("figure:visible").count() == 2
    tab.close()


def test_a_print_is_light_and_hides_nothing(pages, browser):
    tab = browser.new_page(color_scheme="dark")
    tab.goto(pages["page"].as_uri())
    tab.emulate_media(media="print")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.locator(".film figure:visible").count() == 4 + 2 * 3
    assert tab.locator("details:not([open])").count() == 0
    tab.close()


def test_without_scripts_every_picture_is_still_there(pages, browser):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(pages["page"].as_uri())
    tab.locator("summary", has_text="Over training").click()
    assert tab.locator(".film figure:visible").count() == 4
    context.close()


def test_the_index_leads_to_the_page(pages, browser):
    tab = browser.new_page()
    tab.goto(pages["index"].as_uri())
    tab.locator("table.runs:not(.leads) a").click()
    assert tab.url == pages["page"].as_uri()
    tab.close()


def test_the_page_shows_what_decides_and_beside_it_todays_data(pages, browser):
    tab = browser.new_page()
    tab.goto(pages["page"].as_uri())
    open_all(tab)
    section = tab.locator("#model-1")
    headings = section.locator("h3").all_inner_texts()
    assert headings.index("Scores on today's data") > headings.index("Scores on evaluation set 2")
    deciding, decided, fresh = section.locator("table.scores").all()[:3]
    assert deciding.locator("tbody tr").count() == 1
    assert decided.locator("tbody tr").first.locator("td").count() == 6
    assert fresh.locator("tbody tr").first.locator("td").count() == 2
    assert "512 damaged, of 811 held-out images" in section.inner_text()
    assert "They decide nothing" in section.inner_text()
    tab.close()


def test_a_comparison_has_a_table_for_each_set_of_images(pages, browser):
    tab = browser.new_page()
    tab.goto(pages["comparison"].as_uri())
    section = tab.locator("#family-1")
    assert section.locator("h3").all_inner_texts()[:2] == [
        "Scores on evaluation set 2",
        "Scores on the data of openmoji-64, weekly and again",
    ]
    assert "\N{EM DASH}" not in "".join(section.locator("table.scores").all_inner_texts())
    tab.close()


def test_the_page_says_what_is_odd_about_images_and_whether_new_ones_look_otherwise(pages, browser):
    tab = browser.new_page(viewport={"width": 1280, "height": 844})
    tab.goto(pages["page"].as_uri())
    quality, drift = tab.locator("#quality"), tab.locator("#drift")
    assert quality.locator("summary").first.inner_text().split("\n")[0].startswith("Quality of the images")
    assert not quality.locator("table").first.is_visible()
    open_all(tab)
    assert "Training left 70 of them out" in quality.inner_text()
    assert quality.get_by_role("row", name="near-copies").locator("td").first.inner_text() == "612"
    assert quality.locator("img").evaluate_all("all => all.every(image => image.naturalWidth > 0)")
    assert drift.get_by_role("row", name="features").inner_text().split("\t")[1:3] == ["0.41", "0"]
    assert "500 of them were compared with images that openmoji-gan learnt from" in drift.inner_text()
    tab.close()
