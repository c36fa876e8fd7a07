"""The team's servers come up with one command, let in whom they should, survive kills, and go without a trace."""

import contextlib
import os
import signal
import socket
import stat
from pathlib import Path

import boto3
import psutil
import psycopg2
import pytest
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import ClientError

from infra.team import leftovers, postgres
from infra.team.settings import ROLES, Settings, generate
from tests.team.stack import Stack

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_teams_servers_come_up_refuse_strangers_and_go_down_without_a_trace(team: Stack) -> None:
    strangers_are_refused(team)
    readers_read_and_do_not_write(team)
    everything_listens_on_loopback_alone(team)
    no_secret_is_in_a_command_line(team)
    assert stat.S_IMODE(team.settings.file.stat().st_mode) == 0o600
    said = team.command("up").stdout  # again: nothing changes, nothing is started twice
    assert "ready" in said
    before = team.processes()
    stopped = [line.split()[0] for line in team.down().splitlines() if "stopped" in line]
    assert stopped == ["worker", "serve", "prefect", "mlflow", "s3", "postgres"]
    assert team.processes() == []
    assert [pid for pid in before if psutil.pid_exists(pid)] == []
    assert team.command("status").returncode == 1


def strangers_are_refused(team: Stack) -> None:
    prefect, mlflow, s3 = (team.settings.url(name) for name in ("prefect", "mlflow", "s3"))
    experiments, pools = f"{mlflow}/api/2.0/mlflow/experiments/search", f"{prefect}/api/work_pools/filter"
    for login in (None, "admin:password", "worker:wrong-password", team.settings["PREFECT_AUTH"]):
        assert team.ask(experiments, login, {"max_results": 1}) == 401
    for login in (None, "team:wrong", f"admin:{team.settings['MLFLOW_ADMIN_PASSWORD']}"):
        assert team.ask(pools, login, {}) == 401
    assert team.ask(f"{s3}/kintsugi") == 403
    for login in (None, "team:wrong", team.settings["PREFECT_AUTH"]):
        assert team.ask(f"{team.settings.url('serve')}/models", login) == 401
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        bucket(team.client() | {"AWS_SECRET_ACCESS_KEY": "wrong"}).list_objects_v2(Bucket="kintsugi")
    the_database_refuses_strangers(team.settings)


def the_database_refuses_strangers(settings: Settings) -> None:
    port, socket_folder = settings["POSTGRES_PORT"], str(postgres.socket_folder(settings))
    for role in ROLES:
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            psycopg2.connect(host="127.0.0.1", port=port, user=role, password="wrong", dbname=role)
    with pytest.raises(psycopg2.OperationalError, match="no password supplied"):
        psycopg2.connect(host=socket_folder, port=port, user="postgres")
    for role in ROLES[1:]:
        password = settings.database_password(role)
        for other in set(ROLES) - {role}:
            with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
                psycopg2.connect(host="127.0.0.1", port=port, user=role, password=password, dbname=other)


def readers_read_and_do_not_write(team: Stack) -> None:
    api = f"{team.settings.url('mlflow')}/api/2.0/mlflow"
    worker, reader = (f"{name}:{team.settings[f'MLFLOW_{name.upper()}_PASSWORD']}" for name in ("worker", "reader"))
    assert team.ask(f"{api}/experiments/create", worker, {"name": "of-the-worker"}) == 200
    assert team.ask(f"{api}/registered-models/create", worker, {"name": "model-of-the-worker"}) == 200
    assert team.ask(f"{api}/users/create", worker, {"username": "friend", "password": "long-enough-word"}) == 403
    assert team.ask(f"{api}/experiments/get-by-name?experiment_name=of-the-worker", reader) == 200
    assert team.ask(f"{api}/registered-models/get?name=model-of-the-worker", reader) == 200
    for path, body in (
        ("experiments/create", {"name": "of-the-reader"}),
        ("registered-models/create", {"name": "model-of-the-reader"}),
        ("registered-models/set-tag", {"name": "model-of-the-worker", "key": "a", "value": "b"}),
        ("registered-models/delete", {"name": "model-of-the-worker"}),
    ):
        method = "DELETE" if path.endswith("delete") else None
        assert team.ask(f"{api}/{path}", reader, body, method) == 403, path
    writing, reading = bucket(team.client()), bucket(team.client(reader=True))
    writing.put_object(Bucket="kintsugi", Key="artifacts/a", Body=b"1")
    assert reading.get_object(Bucket="kintsugi", Key="artifacts/a")["Body"].read() == b"1"
    for attempt in (
        lambda: reading.put_object(Bucket="kintsugi", Key="artifacts/b", Body=b""),
        lambda: reading.delete_object(Bucket="kintsugi", Key="artifacts/a"),
        lambda: writing.create_bucket(Bucket="other"),
        lambda: writing.put_object(Bucket="kintsugy", Key="a", Body=b""),  # a slip of the pen makes no second store
        lambda: writing.delete_bucket(Bucket="kintsugi"),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            attempt()


def everything_listens_on_loopback_alone(team: Stack) -> None:
    own = set(team.processes())
    listening = [one for one in psutil.net_connections("inet") if one.status == psutil.CONN_LISTEN and one.pid in own]
    assert {one.laddr.ip for one in listening} == {"127.0.0.1"}
    named = {port for service in _all_ports(team.settings) for port in service}
    workers = {one.pid for one in leftovers.find(team.settings.home, "worker")}  # they speak to their runs at any port
    assert {one.laddr.port for one in listening if one.pid not in workers} <= named, "a port that no setting names"


def _all_ports(settings: Settings) -> list[dict[int, str]]:
    from infra.team.services import SERVICES

    return [service.all_ports(settings) for service in SERVICES.values()]


def no_secret_is_in_a_command_line(team: Stack) -> None:
    secrets = team.secrets()
    assert len(secrets) >= 14
    lines = {pid: " ".join(psutil.Process(pid).cmdline()) for pid in team.processes()}
    assert len(lines) > 10
    assert [pid for pid, line in lines.items() if any(secret in line for secret in secrets)] == []
    for log in team.settings.logs.iterdir():
        text = log.read_text(errors="replace")
        assert [secret for secret in secrets if secret in text] == [], log
    for path in team.settings.run.iterdir():
        if path.is_file() and any(secret in path.read_text(errors="replace") for secret in secrets):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def bucket(variables: dict[str, str]) -> BaseClient:
    return boto3.client(
        "s3",
        endpoint_url=variables["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        region_name=variables["AWS_DEFAULT_REGION"],
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.mark.team
def test_after_everything_was_killed_up_brings_it_back_with_its_data(team: Stack) -> None:
    store = bucket(team.client())
    store.put_object(Bucket="kintsugi", Key="artifacts/kept", Body=b"kept")
    api, admin = f"{team.settings.url('mlflow')}/api/2.0/mlflow", f"admin:{team.settings['MLFLOW_ADMIN_PASSWORD']}"
    assert team.ask(f"{api}/experiments/create", admin, {"name": "kept"}) == 200
    killed = team.processes()
    [supervisor] = [pid for pid in killed if "supervisor.supervisord" in psutil.Process(pid).cmdline()]
    for pid in [supervisor, *killed]:
        with_luck(pid)
    assert team.command("status").returncode == 1
    team.up()
    assert store.get_object(Bucket="kintsugi", Key="artifacts/kept")["Body"].read() == b"kept"
    assert team.ask(f"{api}/experiments/get-by-name?experiment_name=kept", admin) == 200
    assert not set(killed) & set(team.processes())


def with_luck(pid: int) -> None:
    """Kill a process, unless its parent's end took it along."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.team
def test_when_only_the_supervisor_was_killed_up_ends_its_orphans_first(team: Stack) -> None:
    before = team.pids()
    [supervisor] = [pid for pid in team.processes() if "supervisor.supervisord" in psutil.Process(pid).cmdline()]
    os.kill(supervisor, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid) for pid in [supervisor] if psutil.pid_exists(pid)], 10)
    said = team.up()
    assert "processes that were left behind" in said
    after = team.pids()
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())


@pytest.mark.team
def test_servers_answer_again_after_their_database_was_restarted(team: Stack) -> None:
    before = team.pids()
    team.restart("postgres")
    team.wait_until_up()
    team.kill("postgres")
    team.wait_until_up()
    after = team.pids()
    assert after["postgres"] != before["postgres"]
    assert {name: after[name] for name in ("mlflow", "prefect", "s3")} == {
        name: before[name] for name in ("mlflow", "prefect", "s3")
    }


@pytest.mark.team
def test_a_killed_server_is_started_again_and_its_children_are_gone(team: Stack) -> None:
    before = set(team.processes())
    team.kill("mlflow")
    team.wait_until_up()
    [listening] = [
        one.pid
        for one in psutil.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN and one.laddr.port == team.settings.port("MLFLOW_PORT")
    ]
    assert listening not in before


@pytest.mark.team
def test_a_person_gets_an_account_and_variables_that_work(team: Stack) -> None:
    printed = team.command("person", "ada").stdout
    variables = dict(line.removeprefix("export ").split("=", 1) for line in printed.splitlines())
    login = f"{variables['MLFLOW_TRACKING_USERNAME']}:{variables['MLFLOW_TRACKING_PASSWORD']}"
    api = f"{variables['MLFLOW_TRACKING_URI']}/api/2.0/mlflow"
    assert team.ask(f"{api}/experiments/create", login, {"name": "of-ada"}) == 200
    assert team.command("person", "ada", "--reader").returncode == 0
    assert team.ask(f"{api}/experiments/create", login, {"name": "more-of-ada"}) == 401  # a new password
    refused = team.command("person", "worker")
    assert (refused.returncode, "no service's account" in refused.stderr) == (2, True)


def test_a_taken_port_is_named_with_the_setting_to_change(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        generate(tmp_path / "env", {"TEAM_HOME": str(tmp_path / "data"), "MLFLOW_PORT": str(port)})
        done = Stack(Settings.read(tmp_path / "env")).command("up")
    assert done.returncode == 1
    assert f"port {port} is taken by process {os.getpid()}" in done.stderr
    assert "change MLFLOW_PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_settings_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    generate(tmp_path / "env")
    (tmp_path / "env").chmod(0o644)
    with pytest.raises(ValueError, match="others may read it"):
        Settings.read(tmp_path / "env")
