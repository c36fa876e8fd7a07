"""Secrets are recognised by their form and by their name; ordinary values pass."""

import pytest

from components.servers.redaction import redact, redact_text


@pytest.mark.parametrize(
    "text",
    [
        "postgresql+psycopg2://mlflow:hunter22@db/mlflow",
        "https://hunter22@github.com/a/b",
        "see https://h/x?a=1&X-Amz-Signature=hunter22",
        "http://h/?token=hunter22#top",
    ],
)
def test_credentials_in_urls_are_taken_out(text: str) -> None:
    assert "hunter22" not in redact_text(text)
    assert "[redacted]" in redact_text(text)


@pytest.mark.parametrize("name", ["db.password", "API_KEY", "aws_secret_access_key", "auth-string", "x.token"])
def test_values_of_secret_names_are_taken_out(name: str) -> None:
    assert redact(name, "hunter22") == "[redacted]"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("data.keys", "7"),
        ("seed", "1"),
        ("source", "s3://bucket/key@2x.png"),
        ("url", "https://host/a@b"),
        ("monkey", "x"),
    ],
)
def test_ordinary_values_pass(name: str, value: str) -> None:
    assert redact(name, value) == value


def test_secrets_of_the_environment_are_taken_out_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "correct horse")
    assert redact_text("could not log in with 'correct horse'") == "could not log in with '[redacted]'"


def test_addresses_of_receivers_are_taken_out_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINTSUGI_NOTIFY", "slack://TAAAAAAA/BBBBBBBB/CCCCCCCC json://hooks.example/4711")
    assert redact_text("sent to slack://TAAAAAAA/BBBBBBBB/CCCCCCCC") == "sent to [redacted]"
    assert "4711" not in redact_text("json://hooks.example/4711 does not answer")
