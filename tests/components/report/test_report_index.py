"""The index lists the pages that are there."""

import re
from datetime import UTC, datetime, timedelta

from components.report.content import Link, ModelPage, PageContent
from components.report.index import (
    HeadScore,
    IndexEntry,
    ModelVerdict,
    SkippedNight,
    entry_of,
    leads,
    rebuild_index,
    write_index,
    write_skipped,
)
from components.report.page import write_page

START = datetime(2026, 11, 1, tzinfo=UTC)


def dated(content, name, days):
    run = content.run.model_copy(update={"name": name, "finished": content.run.finished + timedelta(days=days)})
    models = tuple(ModelPage(name=model.name, decision=model.decision) for model in content.models)
    return PageContent(run=run, models=models)


def test_the_index_is_rebuilt_from_the_pages_newest_first(content, tmp_path):
    write_page(dated(content, "older", 0), tmp_path / "a b#1" / "index.html")
    write_page(dated(content, "newer", 1), tmp_path / "deep" / "er" / "page.html")
    (tmp_path / "notes.html").write_text("<html><head></head>not a run</html>")
    text = rebuild_index(tmp_path).read_text()
    assert text.index(">newer<") < text.index(">older<")
    assert 'href="./a%20b%231/index.html"' in text
    assert "notes" not in text
    assert text.partition("Every run")[2].count("Promoted") == 2
    assert rebuild_index(tmp_path).read_text() == text


def test_a_page_that_cannot_be_read_is_named_and_left_out(content, tmp_path, caplog):
    (tmp_path / "old.html").write_text('<html><head><meta name="kintsugi-run" content="{}"></head></html>')
    write_page(dated(content, "good", 0), tmp_path / "good.html")
    assert "1 run, newest first" in rebuild_index(tmp_path).read_text()
    assert "old.html" in caplog.text


def test_an_empty_index_says_so(tmp_path):
    assert "No run has a page" in write_index([], tmp_path / "index.html").read_text()


def test_names_in_the_index_cannot_become_markup(content, tmp_path):
    entry = entry_of(dated(content, "<script>alert(1)</script>", 0), "run.html")
    assert write_index([entry], tmp_path / "index.html").read_text().count("<script>") == 1


def _scored(name: str, days: int, value: float, reference: str = "set 1") -> IndexEntry:
    score = HeadScore(name="fid", value=value, low=value - 1, high=value + 1, better="lower", protocol=reference)
    return IndexEntry(
        name=name,
        finished=START + timedelta(days=days),
        config_digest="c0ffee",
        verdicts=(ModelVerdict(model="gan", verdict="promote", version=str(days), score=score),),
        link=Link(label=name, url=f"./{name}-{days}.html"),
    )


def test_the_best_run_is_the_best_of_those_measured_as_the_newest():
    nights = [_scored("cats", 1, 20.0), _scored("cats", 2, 30.0), _scored("cats", 0, 5.0, "another set")]
    lead = leads([*nights, _scored("dogs", 3, 90.0)])[0]
    assert (lead.model, lead.newest, lead.best, lead.measured) == ("cats-gan", nights[1], nights[0], 2)


def test_a_page_of_an_earlier_version_names_no_best():
    entry = _scored("cats", 1, 20.0)
    old = IndexEntry.model_validate_json(
        entry.model_copy(update={"verdicts": (ModelVerdict(model="gan", verdict="hold"),)}).model_dump_json(
            exclude_defaults=True
        )
    )
    lead = leads([old])[0]
    assert (lead.newest, lead.verdict, lead.best) == (old, "hold", None)


def test_the_index_says_which_run_is_newest_and_which_best(tmp_path):
    text = write_index([_scored("cats", 1, 20.0), _scored("cats", 2, 30.0)], tmp_path / "index.html").read_text()
    first = text.index("Where to look first")
    assert text.index('href="./cats-2.html"') > first
    assert text.index('href="./cats-1.html"', first) < text.index("Every run with a page")


def test_the_index_lists_the_nights_that_were_skipped_last_and_passes_over_what_it_cannot_read(tmp_path, caplog):
    nights = [
        SkippedNight(title=f"cats · data {day}", why=f"too little <new> {day}", at=START + timedelta(days=day))
        for day in range(1, 9)
    ]
    write_skipped("cats", nights, tmp_path)
    (tmp_path / "skipped-dogs.json").write_text("[{}]")
    text = rebuild_index(tmp_path).read_text()
    assert re.findall(r"too little &lt;new&gt; (\d)", text) == ["8", "7", "6", "5", "4"]
    assert "skipped-dogs.json: left out of the index" in caplog.text
    (tmp_path / "skipped-cats.json").unlink()
    assert "skipped" not in rebuild_index(tmp_path).read_text()
