"""Files of the web by address and sha256: what comes is checked, kept and gone on with, whatever a server does."""

import hashlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from components.artifacts import Store
from components.data import DatasetConfig, ShapesSource, write_shards
from components.data.sources import HttpListSource, RawItem, downloads
from components.servers.patience import PatienceEndedError

PICTURES = [item.content for item in ShapesSource(images=12, raster_px=16).items()]
LONG = bytes(range(256)) * 1000
AFTER_A_PIECE = "bytes=65536-"
"""What is asked for after a third of LONG has come: bytes are written by pieces of 64 KiB."""


@dataclass
class Web:
    """What a server holds by path, what it does wrong with the next requests for one, and what it was asked."""

    port: int = 0
    held: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def line(self, path: str, content: bytes) -> str:
        """Let the server hold it; return its line of a list."""
        self.held[path] = content
        return f"{self.url(path)} {hashlib.sha256(content).hexdigest()}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        web, path, wanted = self.server.web, self.path.partition("?")[0], self.headers.get("Range")  # type: ignore[attr-defined]
        web.asked.append((path, wanted))
        fault = web.faults[path].pop(0) if web.faults.get(path) else ""
        content = web.held.get(path, b"")
        if fault.isdigit() or path not in web.held:
            self._head(int(fault or 404), b"", {})
        elif fault.startswith("to "):
            self._head(302, b"", {"Location": fault[3:]})
        elif fault == "cut":
            self._head(200, content, {"Content-Length": str(len(content))})
            self.wfile.write(content[: len(content) // 3])
            self.close_connection = True
        elif fault == "huge":
            self._head(200, content, {"Content-Length": str(2**40)})
        elif wanted and fault != "whole":
            start = 0 if fault == "another part" else int(wanted[len("bytes=") : -1])
            of_all = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._head(206, content, {"Content-Length": str(len(content) - start), "Content-Range": of_all})
            self.wfile.write(content[start:])
        else:
            self._head(200, content, {"Content-Length": str(len(content))})
            self.wfile.write(content)

    def _head(self, status: int, content: bytes, fields: dict[str, str]) -> None:
        self.send_response(status)
        length = {} if content else {"Content-Length": "0"}
        for name, value in {**length, **fields, "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@pytest.fixture
def web() -> Iterator[Web]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.web = Web(port=server.server_port)  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server.web  # type: ignore[attr-defined]
    server.shutdown()
    thread.join()
    server.server_close()


def listed(tmp_path: Path, *lines: str, **options: object) -> HttpListSource:
    (tmp_path / "list.txt").write_text("\n".join(["# a list", "", *lines]) + "\n")
    return HttpListSource(path=tmp_path / "list.txt", per_second=1000, **options)


def reasons(items: list[RawItem]) -> list[str | None]:
    return [item.problem and item.problem.reason for item in items]


def test_a_list_becomes_shards_and_the_next_run_asks_the_server_for_nothing(
    web: Web, home: Path, tmp_path: Path
) -> None:
    lines = [web.line(f"/{number}.png", content) for number, content in enumerate(PICTURES)]
    source = listed(tmp_path, *lines)
    assert source.count() == 12
    shards = write_shards(DatasetConfig(source=source, size=16), Store(tmp_path / "one"))
    assert (shards.found, shards.accepted) == (12, 12)
    assert sorted(path for path, _ in web.asked) == sorted(f"/{number}.png" for number in range(12))
    write_shards(DatasetConfig(source=source, size=16), Store(tmp_path / "two"))
    longer = listed(tmp_path, *lines, web.line("/new.png", PICTURES[0]))
    assert [item.content for item in longer.items()] == [*PICTURES, PICTURES[0]]
    assert len(web.asked) == 12
    assert {path.parent.parent for path in (home / "cache" / "downloads").rglob("*") if path.is_file()} == {
        home / "cache" / "downloads"
    }


def test_a_body_cut_short_is_gone_on_with_where_it_broke_off(web: Web, home: Path, tmp_path: Path) -> None:
    source = listed(tmp_path, web.line("/long", LONG))
    web.faults["/long"] = ["cut", "503"]
    assert [item.content for item in source.items()] == [LONG]
    assert web.asked == [("/long", None), ("/long", AFTER_A_PIECE), ("/long", AFTER_A_PIECE)]


def test_a_server_that_knows_no_parts_sends_the_whole_again(web: Web, home: Path, tmp_path: Path) -> None:
    source = listed(tmp_path, web.line("/long", LONG))
    web.faults["/long"] = ["cut", "whole"]
    assert [item.content for item in source.items()] == [LONG]


def test_what_cannot_be_had_is_refused_with_what_the_server_said_and_the_rest_is_taken(
    web: Web, home: Path, tmp_path: Path
) -> None:
    good, other = web.line("/good", b"good"), web.line("/other", b"other")
    web.held["/other"] = b"something else"
    huge, moved = web.line("/huge", b"huge"), web.line("/moved", b"moved")
    web.faults |= {"/huge": ["huge"], "/moved": ["to file:///etc/passwd"]}
    web.line("/loop", b"loop")
    web.faults["/loop"] = ["to /loop"] * 9
    gone = f"{web.url('/gone?key=secret')} {'0' * 64}"
    items = list(listed(tmp_path, other, huge, moved, web.line("/loop", b"loop"), gone, good).items())
    assert reasons(items) == ["unreadable", "too_large", "unreadable", "unreadable", "unreadable", None]
    assert "the sha256 of what came is" in items[0].problem.found
    assert "not http(s)" in items[2].problem.found
    assert "leads on more than" in items[3].problem.found
    assert items[4].problem.found == "the server answered 404"
    assert not [item for item in items if "secret" in f"{item.name}{item.problem}"]
    assert items[5].content == b"good"


def test_a_file_that_goes_bad_on_the_disk_is_fetched_again(web: Web, home: Path, tmp_path: Path) -> None:
    source = listed(tmp_path, web.line("/a", b"content"))
    list(source.items())
    (kept,) = (one for one in (home / "cache" / "downloads").rglob("*") if one.is_file() and not one.suffix)
    kept.write_bytes(b"cOntent")
    assert [item.content for item in source.items()] == [b"content"]
    assert len(web.asked) == 2


def test_a_server_that_stays_away_ends_the_run_and_leaves_what_came(
    web: Web, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KINTSUGI_PATIENCE_S", "0.5")
    source = listed(tmp_path, web.line("/long", LONG), at_once=1)
    web.faults["/long"] = ["cut", *["500"] * 50]
    with pytest.raises(PatienceEndedError, match=r"127\.0\.0\.1 does not answer"):
        list(source.items())
    web.faults.clear()
    assert [item.content for item in source.items()] == [LONG]
    assert web.asked[-1] == ("/long", AFTER_A_PIECE)


def test_no_more_requests_begin_in_a_second_than_may(web: Web, home: Path, tmp_path: Path) -> None:
    lines = [web.line(f"/{number}", bytes([number])) for number in range(6)]
    began = time.monotonic()
    list(listed(tmp_path, *lines).model_copy(update={"per_second": 10.0}).items())
    assert time.monotonic() - began >= 0.5


@pytest.mark.parametrize("fault", ["416", "another part"])
def test_a_server_that_sends_another_part_is_asked_for_the_whole(
    web: Web, home: Path, tmp_path: Path, fault: str
) -> None:
    source = listed(tmp_path, web.line("/long", LONG))
    web.faults["/long"] = ["cut", fault]
    assert [item.content for item in source.items()] == [LONG]
    assert [part for _, part in web.asked] == [None, AFTER_A_PIECE, None]


@pytest.mark.parametrize(
    "line",
    ["http://a/b.png", "ftp://a/b " + "0" * 64, "file:///etc/passwd " + "0" * 64, "http://a/b " + "0" * 63, "x y z"],
)
def test_a_line_that_is_none_is_named_by_its_number(line: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"line 3 of list\.txt: .*expected http\(s\)://ADDRESS"):
        listed(tmp_path, line).fingerprint()


def test_passwords_in_addresses_are_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="user name or password") as caught:
        listed(tmp_path, "https://me:hunter2@host/a.png " + "0" * 64).count()
    assert "hunter2" not in str(caught.value)


def test_the_limits_of_a_file_hold_while_it_is_sent(
    web: Web, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "MAX_FILE_BYTES", 1000)
    assert reasons(list(listed(tmp_path, web.line("/long", LONG)).items())) == ["too_large"]
