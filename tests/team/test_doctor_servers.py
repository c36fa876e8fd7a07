"""The doctor logs in to real servers, and says in one plain line what keeps it out; passwords are in no line."""

import base64
import contextlib
import datetime
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import botocore.auth
import pytest

from components.artifacts.storage import StorageError, open_storage
from components.servers import clock
from flows.cli import command_line
from flows.cli.doctor import machine
from tests.team.running import service

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(400)]

USER, PASSWORD = "ada", "ada's own long password"
ADMIN, ADMIN_PASSWORD = "administrator", "the administrator's password"
SECRET = "kintsugi:prefect's password"

Doctor = Callable[..., tuple[int, dict[str, dict[str, str]], str]]


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Call the command with variables set; return exit code, findings by what was looked at, and all that was said."""

    def call(*arguments: str, **variables: str) -> tuple[int, dict[str, dict[str, str]], str]:
        code = 0
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            try:
                command_line()(["doctor", "--json", *arguments], exit_on_error=False, result_action="return_value")
            except SystemExit as end:
                code = int(str(end.code))
        said = capsys.readouterr()
        assert all("\n" not in finding["found"] + finding["advice"] for finding in json.loads(said.out))
        return code, {finding["what"]: finding for finding in json.loads(said.out)}, said.out + said.err

    return call


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def call(address: str, question: dict[str, object], user: str) -> None:
    """Make a call of an API as `user:password`."""
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}
    with urllib.request.urlopen(urllib.request.Request(address, json.dumps(question).encode(), headers), timeout=60):
        pass


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLflow with accounts, in which nobody may see what is not his own."""
    place = tmp_path_factory.mktemp("mlflow-accounts")
    port = free_port()
    (place / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = NO_PERMISSIONS\n"
        f"database_uri = sqlite:///{place / 'auth.db'}\nadmin_username = {ADMIN}\nadmin_password = {ADMIN_PASSWORD}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{place / 'mlflow.db'}", "--host", "127.0.0.1", "--port", str(port)]
    environment = {
        "MLFLOW_AUTH_CONFIG_PATH": str(place / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key of this test",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    uri = f"http://127.0.0.1:{port}"
    with service(command, environment, f"{uri}/health", place / "log"):
        create_user = f"{uri}/api/2.0/mlflow/users/create"
        call(create_user, {"username": USER, "password": PASSWORD}, f"{ADMIN}:{ADMIN_PASSWORD}")
        yield uri


def test_mlflow_lets_us_in_or_a_line_says_why_not(mlflow_server: str, doctor: Doctor) -> None:
    at = {"MLFLOW_TRACKING_URI": mlflow_server}
    _, findings, _ = doctor(**at, MLFLOW_TRACKING_USERNAME=USER, MLFLOW_TRACKING_PASSWORD=PASSWORD)
    assert findings["MLflow"]["state"] == findings["Version of MLflow"]["state"] == "ok"
    assert findings["Clock of MLflow"]["state"] == "ok"
    code, findings, said = doctor(**at, MLFLOW_TRACKING_USERNAME=USER, MLFLOW_TRACKING_PASSWORD="a wrong password")
    assert (code, findings["MLflow"]["state"]) == (1, "problem")
    assert findings["MLflow"]["found"] == "it does not accept our password"
    assert findings["MLflow"]["advice"] == "mend MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    assert "a wrong password" not in said
    _, findings, _ = doctor(**at)
    assert findings["MLflow"]["found"] == "it asks for a password"


def test_a_password_in_mlflows_address_is_used_and_never_said(mlflow_server: str, doctor: Doctor) -> None:
    right = mlflow_server.replace("//", f"//{ADMIN}:{ADMIN_PASSWORD.replace(' ', '%20')}@")
    _, findings, said = doctor(MLFLOW_TRACKING_URI=right)
    assert findings["MLflow"]["state"] == "ok"
    assert "password@" not in said
    for address in ("http://ada:SECRET@127.0.0.1:9", "https://ada:SECRET@" + mlflow_server.removeprefix("http://")):
        code, findings, said = doctor(MLFLOW_TRACKING_URI=address)
        assert (code, findings["MLflow"]["state"]) == (1, "problem")
        assert "SECRET" not in said


def test_who_may_not_read_the_promotions_is_told(mlflow_server: str, doctor: Doctor) -> None:
    create = f"{mlflow_server}/api/2.0/mlflow/experiments/create"
    with contextlib.suppress(urllib.error.HTTPError):  # made by an earlier test run of this module
        call(create, {"name": "kintsugi-promotions"}, f"{ADMIN}:{ADMIN_PASSWORD}")
    at = {"MLFLOW_TRACKING_URI": mlflow_server}
    code, findings, _ = doctor(**at, MLFLOW_TRACKING_USERNAME=USER, MLFLOW_TRACKING_PASSWORD=PASSWORD)
    assert (code, findings["MLflow"]["state"]) == (1, "problem")
    assert "we may not read the experiment kintsugi-promotions" in findings["MLflow"]["found"]
    _, findings, _ = doctor(**at, MLFLOW_TRACKING_USERNAME=ADMIN, MLFLOW_TRACKING_PASSWORD=ADMIN_PASSWORD)
    assert findings["MLflow"]["state"] == "ok"


@pytest.fixture(scope="module")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Prefect with a password, on SQLite, whose scheduler works."""
    place = tmp_path_factory.mktemp("prefect-password")
    port = free_port()
    environment = {
        "PREFECT_HOME": str(place),
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{place / 'prefect.db'}",
        "PREFECT_SERVER_API_AUTH_STRING": SECRET,
        "PREFECT_UI_ENABLED": "false",
        "PREFECT_API_URL": "",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with service(command, environment, f"http://127.0.0.1:{port}/api/health", place / "log"):
        yield f"http://127.0.0.1:{port}/api"


def test_prefect_lets_us_in_or_a_line_says_why_not(prefect_server: str, doctor: Doctor) -> None:
    at = {"PREFECT_API_URL": prefect_server}
    _, findings, _ = doctor(**at, PREFECT_API_AUTH_STRING=SECRET)
    assert findings["Prefect"]["state"] == findings["Version of Prefect"]["state"] == "ok"
    assert findings["Clock of Prefect"]["state"] == "ok"
    code, findings, said = doctor(**at, PREFECT_API_AUTH_STRING="kintsugi:wrong")
    assert (code, findings["Prefect"]["found"]) == (1, "it does not accept our password")
    assert findings["Prefect"]["advice"] == "mend PREFECT_API_AUTH_STRING"
    assert "kintsugi:wrong" not in said
    _, findings, _ = doctor(**at)
    assert findings["Prefect"]["found"] == "it asks for a password"
    _, findings, _ = doctor(PREFECT_API_URL=prefect_server.removesuffix("/api") + "/nothing")
    assert findings["Prefect"]["state"] == "problem"


def test_a_schedule_that_plans_nothing_and_a_pool_without_workers_are_said(prefect_server: str, doctor: Doctor) -> None:
    """The same deployment with a live scheduler, and as it looks when the scheduler fails on every pass."""
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Basic {base64.b64encode(SECRET.encode()).decode()}",
    }

    def ask(path: str, question: dict[str, object]) -> dict[str, str]:
        request = urllib.request.Request(f"{prefect_server}/{path}", json.dumps(question).encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return dict(json.load(answer))

    ask("work_pools/", {"name": "kintsugi", "type": "process"})
    flow = ask("flows/", {"name": "retrain"})["id"]
    schedule = {"active": True, "schedule": {"cron": "0 2 * * *", "timezone": "UTC"}}
    deployment = {"name": "nightly", "flow_id": flow, "work_pool_name": "kintsugi", "schedules": [schedule]}
    ask("deployments/", deployment)
    at = {"PREFECT_API_URL": prefect_server, "PREFECT_API_AUTH_STRING": SECRET}
    _, findings, _ = doctor(**at)
    assert findings["Workers of kintsugi"]["state"] == "note"
    assert "prefect worker start --pool kintsugi" in findings["Workers of kintsugi"]["advice"]
    deadline = time.monotonic() + 120
    while findings["Schedule of nightly"]["state"] != "ok":
        assert findings["Schedule of nightly"]["state"] == "note"
        assert time.monotonic() < deadline
        time.sleep(1)
        _, findings, _ = doctor(**at)
    assert "next run at" in findings["Schedule of nightly"]["found"]


def test_a_dead_scheduler_is_a_problem(doctor: Doctor) -> None:
    """Answers as a server gave them whose SQLAlchemy was 2.1: an active schedule, and nothing planned for hours."""
    deployment = {
        "id": "d",
        "name": "nightly",
        "paused": False,
        "schedules": [{"active": True}],
        "updated": "2026-01-01T00:00:00+00:00",
    }

    class Scripted(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            found = [deployment] if self.path == "/api/deployments/filter" else []
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(found).encode())

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(time.time() - 1000)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        code, findings, _ = doctor(PREFECT_API_URL=f"http://127.0.0.1:{server.server_port}/api")
    finally:
        server.shutdown()
        server.server_close()
    assert (code, findings["Schedule of nightly"]["state"]) == (1, "problem")
    assert "scheduler does not work" in findings["Schedule of nightly"]["advice"]
    assert findings["Clock of Prefect"]["state"] == "problem"
    assert "1,00" in findings["Clock of Prefect"]["found"]
    assert "ahead of the server's" in findings["Clock of Prefect"]["found"]


@pytest.mark.parametrize(("version", "state"), [("2.0.58", "ok"), ("2.1.9", "problem"), ("3.0", "problem")])
def test_an_sqlalchemy_that_stops_schedules_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, version: str, state: str
) -> None:
    monkeypatch.setattr(machine, "version", lambda _: version)
    assert machine.sqlalchemy().state == state


def test_a_store_is_reached_or_a_line_says_why_not(s3: str, doctor: Doctor) -> None:
    code, findings, _ = doctor("--store", s3)
    assert findings["Artifact store"]["state"] == "ok"
    assert findings["Clock of the artifact store"]["state"] == "ok"
    for address, words in (
        ("s3://no-such-bucket/a", "there is no such bucket"),
        ("s3:/mlops/a", "expected a folder or s3://bucket/prefix"),
        ("gs://mlops/a", "expected a folder or s3://bucket/prefix"),
    ):
        code, findings, _ = doctor("--store", address)
        assert (code, findings["Artifact store"]["state"]) == (1, "problem")
        assert words in findings["Artifact store"]["advice"]
    _, findings, _ = doctor(KINTSUGI_STORE=s3, AWS_SECRET_ACCESS_KEY="wrong")
    assert "SignatureDoesNotMatch" in findings["Artifact store"]["advice"]
    assert "mend AWS_SECRET_ACCESS_KEY" in findings["Artifact store"]["advice"]
    _, findings, _ = doctor("--store", s3, AWS_ACCESS_KEY_ID="nobody")
    assert "mend AWS_ACCESS_KEY_ID" in findings["Artifact store"]["advice"]
    _, findings, _ = doctor("--store", s3, AWS_ENDPOINT_URL_S3="http://127.0.0.1:9")
    assert findings["Artifact store"]["state"] == "problem"


def test_no_bucket_is_made_by_a_misspelt_name(s3: str, tmp_path: Path) -> None:
    for attempt in range(2):
        with pytest.raises(StorageError, match="there is no such bucket; mend its name"):
            open_storage("s3://mlopps/store").put_if_absent("key", str(attempt).encode())


def test_a_wrong_clock_is_said_with_how_wrong_it_is(s3: str, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server refuses what is signed an hour ago."""
    late = datetime.timedelta(hours=1)

    class Late(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> "Late":
            return super().now(tz) - late

    signed = datetime.datetime.now(datetime.UTC).replace(tzinfo=None) - late
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_, **__: signed)
    monkeypatch.setattr(clock, "datetime", Late)
    with pytest.raises(StorageError, match=r"; this machine's clock is 3,[56]\d\d s behind the server's; set it"):
        open_storage(s3).read_bytes("key")
    code, findings, _ = doctor("--store", s3)
    assert (code, findings["Artifact store"]["state"]) == (1, "problem")
    assert "s behind the server's; set it" in findings["Artifact store"]["advice"]


def test_certificates_that_nobody_signed_are_said(tmp_path: Path, doctor: Doctor) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1"]
    subprocess.run([*command, "-keyout", tmp_path / "key", "-out", tmp_path / "cert"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"https://localhost:{server.server_port}"
    try:
        _, findings, _ = doctor(MLFLOW_TRACKING_URI=address, PREFECT_API_URL=f"{address}/api")
    finally:
        server.shutdown()
        server.server_close()
    for name in ("MLflow", "Prefect"):
        assert findings[name]["found"].startswith("TLS failed: self")
