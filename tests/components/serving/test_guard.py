"""Who is let in, and how much he may send: seen from outside, on a real socket."""

import contextlib
import http.client
import json
import socket
import time

import httpx
import pytest

from components.serving.settings import Credentials, Limits, Settings

pytestmark = pytest.mark.timeout(120)

AUTH = Credentials("team:a secret: with colons")
GOOD = httpx.BasicAuth("team", "a secret: with colons")


def error(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/json"
    (words,) = json.loads(answer.text).values()
    assert "\n" not in words
    return words


def test_without_the_password_only_health_answers(serve):
    client = serve(credentials=AUTH).client
    assert client.get("/health").json()["status"] == "ok"
    for method, path in (("GET", "/"), ("GET", "/models"), ("GET", "/pages/x.html"), ("POST", "/models/x/repair")):
        for auth in (None, httpx.BasicAuth("team", "wrong"), httpx.BasicAuth("team", "")):
            answer = client.request(method, path, auth=auth)
            assert (answer.status_code, error(answer)) == (401, "user and password are needed")
            assert answer.headers["www-authenticate"].startswith("Basic realm=")
    for header in ("Basic", "Basic !!!", "Bearer abc", "Basic " + "QQ" * 3000):
        assert client.get("/models", headers={"Authorization": header}).status_code == 401
    assert client.get("/models", auth=GOOD).status_code == 200


def test_a_name_that_is_not_ours_is_refused(serve):
    client = serve(names=frozenset({"127.0.0.1", "service.team.example"})).client
    for host, status in (("evil.example", 421), ("127.0.0.1:99", 200), ("SERVICE.team.example", 200), ("[", 421)):
        assert client.get("/models", headers={"Host": host}).status_code == status, host
    assert client.get("/health", headers={"Host": "10.2.3.4"}).status_code == 200


def test_two_names_or_none_are_refused(serve):
    service = serve()
    for head in ("GET /models HTTP/1.0\r\n\r\n",):
        with socket.create_connection(("127.0.0.1", service.port)) as client:
            client.sendall(head.encode())
            assert b" 421 " in client.recv(4096).split(b"\r\n")[0]


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_pages_of_other_sites_send_nothing(serve, headers):
    answer = serve().client.post("/models/x/generate", json={}, headers=headers)
    assert (answer.status_code, error(answer)) == (403, "pages of other sites may not use this server")


def test_every_answer_is_protected(serve):
    client = serve().client
    for path in ("/", "/runs", "/docs", "/static/main.js", "/models", "/nothing", "/pages/x.html", "/health"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


def test_nothing_is_written_by_methods_that_pages_do_not_have(serve):
    client = serve().client
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        for path in ("/", "/runs", "/docs", "/pages/x.html", "/compare"):
            assert client.request(method, path).status_code == 405


@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_over_the_limit_is_refused_without_being_held(serve, chunked):
    client = serve(limits=Limits(body_bytes=1 << 20)).client
    pieces = [b"x" * (1 << 16)] * 64
    content = iter(pieces) if chunked else b"".join(pieces)
    answer = client.post("/models/x/generate", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, error(answer)) == (413, "a request may have at most 1 MiB")


def test_a_body_that_does_not_come_is_not_waited_for(serve):
    service = serve(limits=Limits(body_s=0.3, bodies=1))
    with socket.create_connection(("127.0.0.1", service.port)) as slow:
        slow.sendall(b"POST /models/x/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        time.sleep(0.1)
        other = service.client.post("/models/x/generate", json={})
        assert (other.status_code, other.headers["retry-after"]) == (429, "2")
        assert b" 408 " in slow.recv(4096).split(b"\r\n")[0]
    deadline = time.monotonic() + 10
    while service.client.post("/models/x/generate", json={}).status_code == 429:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_head_that_does_not_come_is_hung_up_on_and_others_are_served(serve):
    service = serve(limits=Limits(head_s=0.5))
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", service.port))) for _ in range(20)]
        for one in slow:
            one.sendall(b"GET /health HTTP/1.1\r\nHost: loc")
        assert service.client.get("/health").status_code == 200
        for one in slow:
            one.settimeout(10)
            with contextlib.suppress(ConnectionResetError):
                assert one.recv(100) == b""


def test_heads_are_limited(serve):
    service = serve()
    for length in (20_000, 100_000, 3_000_000):
        connection = http.client.HTTPConnection("127.0.0.1", service.port)
        with contextlib.suppress(ConnectionError):
            connection.request("GET", "/health", headers={"X-Long": "x" * length})
            assert connection.getresponse().status in {400, 431}
        connection.close()
    assert service.client.get(f"/compare?run={'x' * 20_000}").status_code == 431
    assert service.client.get("/health").status_code == 200


def test_what_nobody_foresaw_is_answered_with_a_number_that_the_log_has(serve, caplog, monkeypatch):
    service = serve()

    async def broken():
        raise RuntimeError("/some/path of ours")

    monkeypatch.setattr(service.champions, "records", broken)
    answer = service.client.get("/models")
    assert answer.status_code == 500
    number = error(answer).rpartition(" ")[2]
    assert number in caplog.text
    assert "/some/path" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_open_address_needs_a_password(monkeypatch):
    monkeypatch.delenv("KINTSUGI_SERVE_AUTH", raising=False)
    for host in ("0.0.0.0", "::", "10.1.2.3", "service.team.example"):
        with pytest.raises(ValueError, match="can be reached by others; set KINTSUGI_SERVE_AUTH"):
            Settings.from_environment(host, 5001)
    for host in ("127.0.0.1", "::1", "localhost", "127.0.0.2"):
        assert Settings.from_environment(host, 5001).credentials is None
    monkeypatch.setenv("KINTSUGI_SERVE_AUTH", "team:long secret")
    monkeypatch.setenv("KINTSUGI_SERVE_HOSTS", "one.example, TWO.example")
    settings = Settings.from_environment("0.0.0.0", 5001, ("three.example",))
    assert settings.names >= {"0.0.0.0", "localhost", "one.example", "two.example", "three.example"}
    assert settings.credentials.fit(b"team:long secret")
    assert not settings.credentials.fit(b"team:long secre")
    assert "long secret" not in repr(settings)


@pytest.mark.parametrize("stated", ["s3cret-word", "s3cret-word:", ":s3cret-word"])
def test_a_password_of_another_form_is_refused_without_being_said(monkeypatch, stated):
    monkeypatch.setenv("KINTSUGI_SERVE_AUTH", stated)
    with pytest.raises(ValueError, match="not of the form user:password") as caught:
        Settings.from_environment("127.0.0.1", 5001)
    assert "s3cret" not in str(caught.value)
