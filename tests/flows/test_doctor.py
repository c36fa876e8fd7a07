"""The doctor says what is here and what is not, in words for people and in JSON for scripts."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli import command_line
from flows.cli.doctor import versions


@pytest.fixture
def doctor(capsys):
    """Call the command; return its exit code and its findings by what was looked at."""

    def call(*arguments):
        code = 0
        try:
            command_line()(["doctor", "--json", *arguments], exit_on_error=False, result_action="return_value")
        except SystemExit as end:
            code = end.code
        return code, {finding["what"]: finding for finding in json.loads(capsys.readouterr().out)}

    return call


def test_every_finding_has_a_state_and_what_is_no_problem_is_not_one(doctor):
    code, findings = doctor()
    assert {"PyTorch", "GPUs", "EfficientNet-Lite0 weights", "Disk", "MLflow", "Prefect"} <= set(findings)
    for finding in findings.values():
        assert set(finding) == {"what", "state", "found", "advice"}
        assert finding["state"] in {"ok", "note", "problem"}
    assert code == (1 if any(finding["state"] == "problem" for finding in findings.values()) else 0)


def test_a_prefect_server_that_does_not_answer_is_a_problem(doctor, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    code, findings = doctor()
    assert code == 1
    assert findings["Prefect"]["state"] == "problem"
    assert "PREFECT_API_URL" in findings["Prefect"]["advice"]


def test_an_mlflow_server_that_does_not_answer_is_a_problem(doctor, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    code, findings = doctor()
    assert code == 1
    assert "MLFLOW_TRACKING_URI" in findings["MLflow"]["advice"]


def test_a_store_is_looked_at_when_it_is_named(doctor, tmp_path):
    _, findings = doctor("--store", str(tmp_path))
    assert findings["Artifact store"]["state"] == "ok"


@pytest.mark.parametrize(
    ("there", "state", "advice"),
    [
        ("3.8.8", "ok", ""),
        ("3.8.1", "ok", ""),
        ("3.7.0", "problem", "bring the server to 3.8.8, or here: pip install 'prefect==3.7.0'"),
        ("3.9.1", "note", "here: pip install 'prefect==3.9.1'"),
        ("<html>", "note", ""),
    ],
)
def test_a_server_of_another_version_is_said_with_what_to_install(there, state, advice):
    finding = versions.compared("Prefect", "prefect", "3.8.8", there)
    assert (finding.state, finding.advice) == (state, advice)
    assert there in finding.found


def test_receivers_are_read_and_when_asked_told_and_no_address_is_shown(doctor, monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("KINTSUGI_NOTIFY", f"json://team:correct-horse@127.0.0.1:{port}/ slak://TAAAAAAA/BBBBBBBB")
    _, findings = doctor()
    assert findings["Receiver 1"]["state"] == "ok"
    assert findings["Receiver 2"]["state"] == "problem"
    code, told = doctor("--tell")
    assert (code, told["Receiver 1"]["state"]) == (1, "problem")
    assert "Connection error" in told["Receiver 1"]["found"]
    assert not any(secret in json.dumps(told) for secret in ("correct-horse", "TAAAAAAA"))


def test_the_service_that_pages_are_linked_to_is_asked(doctor, monkeypatch):
    command = [str(Path(sys.executable).with_name("kintsugi")), "serve", "--port", "0"]
    serving = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        address = serving.stdout.readline().split()[2].rstrip(",")
        monkeypatch.setenv("KINTSUGI_URL", address)
        _, findings = doctor()
        assert findings["kintsugi serve"]["state"] == "ok"
    finally:
        serving.terminate()
        serving.wait(30)
    _, findings = doctor()
    assert findings["kintsugi serve"]["state"] == "problem"
    assert "KINTSUGI_URL" in findings["kintsugi serve"]["advice"]
