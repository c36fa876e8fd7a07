"""A page is one small, well-formed, escaped file, written whole or not at all."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from components.evaluation.protocol import Protocol, Score
from components.report import rendering
from components.report.content import Fact, FailedModel, ModelPage, PageContent, Picture, Subject
from components.report.index import ModelVerdict, entry_of
from components.report.page import scoreboard, write_page

ATTACK = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


class Tags(HTMLParser):
    """Collects the tags of a page."""

    def __init__(self, page: Path):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def named(self, *names):
        return [(tag, attrs) for tag, attrs in self.found if tag in names]


@pytest.fixture(scope="module")
def page(content, tmp_path_factory) -> Path:
    return write_page(content, tmp_path_factory.mktemp("page") / "new" / "index.html")


def test_a_typical_page_is_under_three_megabytes(page):
    assert page.stat().st_size < 3_000_000


def test_nothing_in_a_page_asks_for_another_file(page):
    for tag, attrs in Tags(page).found:
        address = attrs.get("src") or (attrs.get("href") if tag == "link" else None)
        assert address is None or address.startswith("data:"), (tag, address)
    assert not re.search(r"url\(|@import", page.read_text())


def test_headings_are_in_order(page):
    levels = [int(tag[1]) for tag, _ in Tags(page).named("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_picture_has_words_and_every_table_a_caption(page):
    tags = Tags(page)
    pictures = [attrs for _, attrs in tags.named("img") if "src" in attrs]
    assert len(pictures) > 40
    assert all(attrs["alt"] for attrs in pictures)
    assert len(tags.named("table")) == len(tags.named("caption"))


def test_identifiers_are_used_once_and_links_within_the_page_arrive(page):
    tags = Tags(page)
    names = [attrs["id"] for _, attrs in tags.found if "id" in attrs]
    assert len(names) == len(set(names))
    inner = [attrs["href"][1:] for _, attrs in tags.named("a") if (attrs["href"] or "").startswith("#")]
    assert set(inner) <= set(names)


def test_verdicts_reasons_protocols_and_the_command_are_in_words(page, content):
    text = page.read_text()
    for word in (
        "Promoted",
        "Rejected",
        "Not judged",
        content.run.config_digest,
        content.run.command,
        "2026-03-01 14:05 UTC",
    ):
        assert word in text
    protocol = content.models[0].subjects[0].scores[0].protocol
    assert protocol.digest in text
    assert all(word in text for word in (protocol.implementation, "reference", protocol.reference, "draws"))
    assert "12 × 12 px" in text


def test_a_name_cannot_become_markup(content, tmp_path):
    hostile = content.model_copy(
        update={
            "run": content.run.model_copy(
                update={
                    "name": ATTACK,
                    "command": ATTACK,
                    "config": ATTACK,
                    "environment": (Fact(label=ATTACK, value=ATTACK),),
                }
            ),
            "models": tuple(
                model.model_copy(update={"name": f"{ATTACK}{place}", "version": ATTACK})
                for place, model in enumerate(content.models)
            ),
            "data": content.data.model_copy(update={"source": ATTACK, "rejected": {ATTACK: 1}}),
        }
    )
    tags = Tags(write_page(hostile, tmp_path / "page.html"))
    assert len(tags.named("script")) == 1
    assert not any(name.startswith("on") for _, attrs in tags.found for name in attrs)


def test_a_page_needs_only_a_run(content, tmp_path):
    page = write_page(PageContent(run=content.run, models=()), tmp_path / "page.html")
    assert content.run.command in page.read_text()


def test_a_model_that_failed_is_named_with_its_reason_in_the_page_and_in_its_line_of_the_index(content, tmp_path):
    failed = FailedModel(name="gan-of-last-night", reason="rank 0 of 1 failed: <killed>")
    partial = content.model_copy(update={"failed": (failed,)})
    text = write_page(partial, tmp_path / "page.html").read_text()
    assert "Failed" in text
    assert "gan-of-last-night: rank 0 of 1 failed: &lt;killed&gt;" in text
    assert entry_of(partial, "page.html").verdicts[-1] == ModelVerdict(model="gan-of-last-night", verdict="failed")


def test_a_failed_write_leaves_the_old_page(content, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("old")
    broken = Picture(content=b"GIF89a..", alt="not a kind of picture that pages carry")
    model = ModelPage(name="gan", samples=(broken,))
    with pytest.raises(ValueError, match="must be a PNG"):
        write_page(PageContent(run=content.run, models=(model,)), page)
    assert page.read_text() == "old"
    assert list(tmp_path.iterdir()) == [page]


def test_detailed_scores_are_folded_away(content, tmp_path):
    protocol = Protocol(metric="m", implementation="i", reference="r", samples=2)
    whole = Score(name="psnr", value=1, low=1, high=1, better="higher", protocol=protocol)
    part = whole.model_copy(update={"name": "psnr/small_holes"})
    model = ModelPage(name="m", subjects=(Subject(name="m", role="model", scores=(whole, part)),))
    text = write_page(PageContent(run=content.run, models=(model,)), tmp_path / "page.html").read_text()
    assert text.index("psnr") < text.index("1 more score") < text.index("psnr/small_<wbr>holes")


def test_charts_are_drawn_for_the_metrics_asked_for_and_for_the_first_otherwise(content):
    inpainter, gan, vae = content.models
    assert [chart.alt.split(",")[0] for chart in scoreboard(inpainter).charts] == ["psnr_hole", "l1_hole"]
    assert len(scoreboard(gan).charts) == 1
    assert scoreboard(vae).charts == ()


def test_text_can_be_read_on_light_and_on_dark():
    style = (Path(rendering.__file__).parent / "templates" / "style.css").read_text()
    for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)[:2]:
        colours = dict(re.findall(r"--(\w+): (#\w{6})", block))
        for ink in ("ink", "muted", "gold", "good", "bad", "hold", "link"):
            for paper in ("paper", "card"):
                assert contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2.1, https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_a_page_says_what_each_stage_took(content, tmp_path):
    text = write_page(content, tmp_path / "page.html").read_text()
    cells = re.findall(r"<td>(.*?)</td>", text.partition('<th scope="row">train</th>')[2].partition("</tr>")[0])
    assert cells == ["1.5", "4.5", "3", "74", "12.5 %", "3.2 GB", "11 GB", "52 MB"]
    evaluated = text.partition('<th scope="row">evaluate</th>')[2].partition("</tr>")[0]
    assert re.findall(r"<td>(.*?)</td>", evaluated) == ["0.025", "0.05", "0", "", "", "800 MB", "", "0.9 MB"]
