"""Pages of a store are shown as they are, new ones at once, altered ones never; beside them what was skipped."""

import os
import shutil
import time
from datetime import UTC, datetime, timedelta

import pytest

from components.artifacts import Store
from components.stages.diary import Entry
from components.stages.outcome import page_url

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def store(workspace):
    return Store(workspace.store)


def test_pages_are_listed_newest_first_and_shown_byte_by_byte(store, publish, told, serve):
    older, newer = publish(store, told("nightly", 0)), publish(store, told("nightly", 1))
    client = serve().client
    index = client.get("/runs")
    assert index.headers["content-type"].startswith("text/html")
    addresses = [f"pages/nightly-{page.digest[:8]}.html" for page in (newer, older)]
    assert index.text.index(addresses[0]) < index.text.index(addresses[1])
    assert index.text.count("Promoted") == 2
    for page, address in zip((newer, older), addresses, strict=True):
        answer = client.get(f"/{address}")
        assert answer.content == (page.path / "page.html").read_bytes()
        assert "sandbox allow-scripts" in answer.headers["content-security-policy"]
    for missing in ("/pages/nightly-00000000.html", "/pages/..%2f..%2fmanifest.json", f"/{addresses[0]}x"):
        assert client.get(missing).status_code == 404


def test_a_new_page_appears_without_a_restart(store, publish, told, serve):
    client = serve().client
    assert "nothing was ever written to it" in client.get("/runs").text
    publish(store, told("nightly"))
    deadline = time.monotonic() + 10
    while "nightly" not in client.get("/runs").text:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_an_altered_page_is_not_shown(store, publish, told, serve, caplog):
    page = publish(store, told("nightly"))
    client = serve().client
    address = f"/pages/nightly-{page.digest[:8]}.html"
    assert client.get(address).status_code == 200
    (page.path / "page.html").write_bytes((page.path / "page.html").read_bytes() + b"<script>alert(1)</script>")
    answer = client.get(address)
    assert (answer.status_code, "not what its manifest says" in answer.json()["detail"]) == (500, True)
    assert str(store.root) not in answer.text
    assert client.get("/runs").status_code == 200


def test_runs_are_set_side_by_side_by_name_digest_or_both(store, publish, told, serve):
    first, second = publish(store, told("first", 0)), publish(store, told("second", 1))
    client = serve().client
    for runs in (("first", "second"), (first.digest[:8], f"second-{second.digest[:8]}")):
        answer = client.get("/compare", params={"run": list(runs)})
        assert answer.status_code == 200, answer.text
        assert "Runs side by side" in answer.text
        assert f"./pages/second-{second.digest[:8]}.html" in answer.text
    assert client.get("/compare", params={"run": "first"}).status_code == 422
    assert client.get("/compare").status_code == 422
    assert client.get("/compare", params={"run": ["first"] * 9}).status_code == 422
    for unknown in ("dragon", "", "<script>"):
        answer = client.get("/compare", params={"run": ["first", unknown]})
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")


def test_names_cannot_become_markup(store, publish, told, serve):
    name = '"><img src=x onerror=alert(1)>'
    page = publish(store, told(name, 0, model="<script>alert(2)</script>"))
    publish(store, told("plain", 1))
    client = serve().client
    index = client.get("/runs").text
    assert "<img src=x" not in index
    assert "<script>alert" not in index
    (listed,) = [part.split('"')[0] for part in index.split('href="./')[1:] if "onerror" in part.split('"')[0]]
    assert client.get(f"/{listed}").content == (page.path / "page.html").read_bytes()
    compared = client.get("/compare", params={"run": [page.digest, "plain"]}).text
    assert "<script>alert" not in compared
    assert "<img src=x" not in compared


def test_a_store_that_is_away_is_said_to_be_stale(store, publish, told, serve):
    publish(store, told("nightly"))
    service = serve()
    assert "nightly" in service.client.get("/runs").text
    away = store.root.with_name("away")
    shutil.move(store.root, away)
    deadline = time.monotonic() + 20
    while service.client.get("/health").json()["stale_since"]["pages"] is None:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    index = service.client.get("/runs").text
    assert "nightly" in index
    assert "The artifact store does not answer" in index
    shutil.move(away, store.root)
    while service.client.get("/health").json()["stale_since"]["pages"] is not None:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_what_was_never_seen_is_not_said_to_be_empty(store, monkeypatch, serve):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    shutil.rmtree(store.root, ignore_errors=True)
    store.root.write_text("a disk that is not mounted")
    client = serve().client
    index = client.get("/runs").text
    assert "The registry has not answered yet" in index
    assert "The artifact store does not answer" in index
    assert "No model" not in index
    assert "No run has" not in index
    assert client.get("/pages/nightly-0.html").status_code == 503


def test_what_is_no_page_is_left_out(store, publish, told, serve, caplog):
    good = publish(store, told("good"))
    for number, text in enumerate((b"{", b"[]", b'{"schema": 1}', b'{"schema": 1, "kind": "Page", "digest": "x"}')):
        folder = good.path.with_name(f"{number:040d}")
        folder.mkdir()
        (folder / "manifest.json").write_bytes(text)
    copied = good.path.with_name("f" * 40)
    shutil.copytree(good.path, copied)
    index = serve().client.get("/runs").text
    assert index.count('href="./pages/') == 1
    assert caplog.text.count("a page is left out") == 5


def test_an_address_is_known_when_the_service_is(store, publish, told, monkeypatch):
    page = publish(store, told('a "b"'))
    monkeypatch.delenv("KINTSUGI_URL", raising=False)
    assert page_url(page) is None
    monkeypatch.setenv("KINTSUGI_URL", "https://team.example/kintsugi/")
    assert page_url(page) == f"https://team.example/kintsugi/pages/a%20%22b%22-{page.digest[:8]}.html"
    for bad in ("team.example", "file:///x", "https://user:password@team.example"):
        monkeypatch.setitem(os.environ, "KINTSUGI_URL", bad)
        with pytest.raises(ValueError, match="KINTSUGI_URL: expected") as caught:
            page_url(page)
        assert "password@" not in str(caught.value)


def test_the_leaderboard_is_reached_from_the_runs_and_lists_a_new_version(store, publish, told, serve, register):
    register("inpainter", 1, "nightly-inpainter")
    page = publish(store, told("nightly", 0))
    client = serve().client
    assert 'href="./leaderboard"' in client.get("/runs").text
    board = client.get("/leaderboard")
    assert board.status_code == 200
    assert "<strong>Version 1</strong> is in service" in board.text
    assert f'href="./pages/nightly-{page.digest[:8]}.html"' in board.text
    assert 'href="./runs"' in board.text
    register("inpainter", 2, "nightly-inpainter")
    deadline = time.monotonic() + 30
    while "<strong>Version 2</strong> is in service" not in client.get("/leaderboard").text:
        assert time.monotonic() < deadline
        time.sleep(0.5)


def note_night(store, name, became, day, why=""):
    at = datetime(2026, 11, 20, tzinfo=UTC) + timedelta(days=day)
    night = Entry(became=became, config="c", shards="s", title=f"{name} · data {day}", why=why, at=at)
    store.records(f"diary/{name}").append(night.model_dump(mode="json"))


def test_nights_that_were_skipped_are_listed_with_the_reason_newest_first_and_a_new_one_at_once(store, serve, caplog):
    note_night(store, "cats", "begun", 1)
    note_night(store, "cats", "skipped", 2, "0 images <new>")
    store.records("diary/dogs").append({"became": "of another version"})
    note_night(store, "dogs", "skipped", 3, "too many this week")
    client = serve(store).client
    page = client.get("/runs").text
    assert "Skipped nights" in page
    assert "cats · data 1" not in page
    said = ("dogs · data 3", "too many this week", "cats · data 2", "0 images &lt;new")
    places = [page.index(words) for words in said]
    assert places == sorted(places)
    assert caplog.text.count("diary of dogs: a record is left out") == 1
    note_night(store, "cats", "skipped", 4, "still too few")
    deadline = time.monotonic() + 10
    while "still too few" not in (page := client.get("/runs").text):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert page.index("still too few") < page.index("too many this week")


def test_without_a_skipped_night_nothing_is_said_of_any(store, publish, told, serve):
    publish(store, told("nightly"))
    assert "kipped" not in serve(store).client.get("/runs").text
