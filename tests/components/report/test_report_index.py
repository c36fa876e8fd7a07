"""The index lists the pages that are there."""

from datetime import timedelta

from components.report.content import ModelPage, PageContent
from components.report.index import entry_of, rebuild_index, write_index
from components.report.page import write_page


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
    assert text.count("Promoted") == 2
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
