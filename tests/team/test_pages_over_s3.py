"""Pages in a shared store, shown by a machine that never made one, also while the store is away."""

import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from components.artifacts import Store
from components.report.content import ModelPage, PageContent, RunFacts
from components.report.page import write_page
from components.serving.app import create_app
from components.serving.champions import Champions
from components.serving.pages import Pages
from components.serving.server import bind, server_of
from components.serving.settings import Settings
from components.stages.outcome import Page
from components.workspace import Workspace

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(200)]


def publish(store: Store, name: str) -> Page:
    run = RunFacts(name=name, finished=datetime(2026, 11, 20, tzinfo=UTC), config_digest="c0ffee00", command="x")
    content = PageContent(run=run, models=(ModelPage(name="vae"),))

    def write(draft: Path) -> dict[str, str]:
        write_page(content, draft / "page.html")
        (draft / "page.json").write_text(content.model_dump_json())
        (draft / "pictures").mkdir()
        (draft / "pictures" / "vae-0.png").write_bytes(b"\x89PNG....")
        return {"name": name}

    return store.materialise(Page, {"name": name}, write)


def test_a_machine_that_made_no_page_shows_them_all(s3, proxy, tmp_path, home, monkeypatch):
    worker = Store.open(s3, tmp_path / "worker")
    first = publish(worker, "first")
    pages = Pages(Store.open(s3, tmp_path / "elsewhere"), tmp_path / "elsewhere" / "pages")
    settings = Settings.from_environment("127.0.0.1", 0)
    listening = bind(settings)
    server = server_of(create_app(settings, Champions(Workspace.from_environment()), pages), settings.limits)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        with httpx.Client(base_url=address, timeout=60) as client:
            assert "first" in client.get("/runs").text
            file = f"/pages/first-{first.digest[:8]}.html"
            assert client.get(file).content == (first.path / "page.html").read_bytes()

            second = publish(worker, "second")
            deadline = time.monotonic() + 20
            while "second" not in client.get("/runs").text:
                assert time.monotonic() < deadline
                time.sleep(0.3)
            compared = client.get("/compare", params={"run": ["first", f"second-{second.digest[:8]}"]})
            assert (compared.status_code, "Runs side by side" in compared.text) == (200, True)

            proxy.close()  # the store is away
            deadline = time.monotonic() + 100
            while client.get("/health").json()["stale_since"]["pages"] is None:
                assert time.monotonic() < deadline
                time.sleep(0.5)
            began = time.monotonic()
            assert client.get(file).content == (first.path / "page.html").read_bytes()
            assert "second" in client.get("/runs").text
            assert time.monotonic() - began < 5
    finally:
        server.should_exit = True
        thread.join(30)


def test_a_page_altered_in_the_store_is_left_out(s3, tmp_path, home, caplog):
    worker = Store.open(s3, tmp_path / "worker")
    good, bad = publish(worker, "good"), publish(worker, "bad")
    (key,) = [key for key in worker.remote.list(f"page/{bad.digest}/") if key.endswith("page.html")]
    worker.remote.delete(key)
    worker.remote.put_if_absent(key, (bad.path / "page.html").read_bytes() + b"<script>alert(1)</script>")
    pages = Pages(Store.open(s3, tmp_path / "elsewhere"), tmp_path / "elsewhere" / "pages")
    pages._look()
    assert [one.page.name for one in pages._listed.values()] == [good.name]
    assert "the sha256 of its page.html is not the one in the manifest" in caplog.text
