"""What a tracking server's answers mean to the door: wait, fail in one line that says what to set, or pass on."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from components.servers.patience import PATIENCE, PatienceEndedError
from components.tracking import runs
from components.tracking.client import MlflowClient, NotLetInError

FOUND = {"experiment": {"experiment_id": "7", "name": "e", "lifecycle_stage": "active"}}


class Answering(ThreadingHTTPServer):
    """Gives the statuses in `statuses` one after the other, then 200."""

    statuses: list[int]
    requests: list[dict[str, str]]


class Handler(BaseHTTPRequestHandler):
    server: Answering

    def do_GET(self) -> None:
        self.server.requests.append(dict(self.headers))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        body = json.dumps(FOUND if status == 200 else {"error_code": "X", "message": "words"}).encode()
        if status == 401:
            body = b"You are not authenticated."
        elif status == 403:
            body = json.dumps({"error_code": "PERMISSION_DENIED", "message": "Permission denied"}).encode()
        elif status == 400:
            words = "(sqlite3.IntegrityError) UNIQUE constraint failed: registered_model_aliases.workspace"
            body = json.dumps({"error_code": "BAD_REQUEST", "message": words}).encode()
        elif status == 404:
            body = json.dumps({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such"}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answering]:
    with Answering(("127.0.0.1", 0), Handler) as listening:
        listening.statuses, listening.requests = [], []
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        for name in ("USERNAME", "PASSWORD"):  # restored after the test, whatever it sets
            monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{listening.server_port}")
        mlflow.set_tracking_uri(f"http://127.0.0.1:{listening.server_port}")
        yield listening
        mlflow.set_tracking_uri(None)
        listening.shutdown()


@pytest.fixture
def ask(server: Answering) -> Callable[[], str]:
    return lambda: MlflowClient().get_experiment("7").name


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_waited_for(server: Answering, ask, status: int) -> None:
    server.statuses = [status] * 3
    assert ask() == "e"
    assert len(server.requests) == 4


def test_a_write_that_met_another_of_the_same_tag_or_alias_is_made_again(server: Answering, ask) -> None:
    server.statuses = [400]
    assert ask() == "e"
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [401, 403])
def test_wrong_credentials_fail_at_once_and_say_what_to_set(server: Answering, ask, status: int) -> None:
    server.statuses = [status] * 3
    with pytest.raises(NotLetInError, match=f"answered {status}; set MLFLOW_TRACKING_USERNAME and"):
        ask()
    assert len(server.requests) == 1


def test_what_the_server_means_is_passed_on(server: Answering, ask) -> None:
    server.statuses = [404]
    with pytest.raises(MlflowException, match="no such"):
        ask()


def test_a_server_that_is_gone_ends_in_one_line(server: Answering, ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PATIENCE, "0.1")
    port = server.server_port
    server.shutdown()
    server.server_close()
    with pytest.raises(PatienceEndedError) as caught:
        ask()
    assert str(caught.value).startswith(f"MLflow at http://127.0.0.1:{port} does not answer, after ")
    assert "([Errno 111] Connection refused)" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_password_in_the_address_moves_out_of_it(
    server: Answering, ask, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"127.0.0.1:{server.server_port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me%40team:hunter%2F22@{place}")
    assert runs.configure(tmp_path) == f"http://{place}" == mlflow.get_tracking_uri()
    assert ask() == "e"
    assert server.requests[-1]["Authorization"] == "Basic bWVAdGVhbTpodW50ZXIvMjI="


def test_all_of_this_package_asks_through_the_door(root: Path) -> None:
    around = [
        path.name
        for path in (root / "components" / "tracking").glob("*.py")
        if "from mlflow import MlflowClient" in path.read_text() or "mlflow.MlflowClient" in path.read_text()
    ]
    assert sorted(around) == ["client.py", "writing.py"]  # the second writes for ranks, which never wait
