"""The doctor says what is here and what is not, in words for people and in JSON for scripts."""

import json

import pytest

from flows.cli import command_line


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
