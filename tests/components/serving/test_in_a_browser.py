"""What people see in a real browser: index, page and comparison, with names that would be markup elsewhere."""

import pytest

from components.artifacts import Store

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

MARKUP = '"><img src=x onerror=alert(1)><script>alert(2)</script>'


@pytest.fixture
def shown(register, serve, publish, told, workspace):
    """The service with a model and three runs, one of which has a name of markup."""
    register("inpainter")
    store = Store(workspace.store)
    publish(store, told("nightly", 0))
    publish(store, told("nightly", 1, shade=120))
    publish(store, told(MARKUP, 2, model=MARKUP))
    return serve(model="inpainter")


def test_people_go_from_the_index_to_pages_and_comparisons_quietly(shown, browser, tmp_path):
    complaints: list[str] = []
    for width, scheme in ((1280, "light"), (390, "dark")):
        tab = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("dialog", lambda dialog: complaints.append(dialog.message))
        tab.on("requestfailed", lambda failed: complaints.append(failed.url))

        def fits(tab=tab):
            return tab.evaluate("document.documentElement.scrollWidth <= innerWidth")

        tab.goto(f"{shown.address}/runs")
        tab.screenshot(path=tmp_path / f"index-{width}.png", full_page=True)
        assert tab.locator("#runs tbody tr").count() == 3
        assert tab.locator("#models tbody tr").count() == 1
        assert tab.locator("#runs tbody a").first.inner_text() == MARKUP
        assert fits()

        for place in range(3):
            tab.locator("#runs tbody a").nth(place).click()
            tab.wait_for_url("**/pages/**")
            tab.screenshot(path=tmp_path / f"page-{place}-{width}.png", full_page=True)
            assert tab.evaluate("document.documentElement.classList.contains('js')")  # the page's own script ran
            assert tab.evaluate("[...document.images].every(image => image.naturalWidth)")
            assert tab.evaluate("origin") == "null"  # and can neither read nor ask anything of the service
            assert fits()
            tab.goto(f"{shown.address}/runs")

        for box in tab.locator("#runs input").all():
            box.check()
        tab.get_by_role("button", name="Compare the chosen runs").click()
        tab.wait_for_url("**/compare?**")
        tab.screenshot(path=tmp_path / f"compare-{width}.png", full_page=True)
        assert tab.locator("h1").inner_text() == "Runs side by side"
        assert fits()
        tab.locator("table.runs a").first.click()
        tab.wait_for_url("**/pages/**")
        assert complaints == []
        tab.close()
