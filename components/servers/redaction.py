"""Keep secrets out of what is logged: credentials in URLs, AWS keys, values of secret-sounding names."""

import itertools
import os
import re

REDACTED = "[redacted]"

_SECRET_WORDS = frozenset(
    {"password", "passwd", "pwd", "secret", "token", "apikey", "credential", "credentials", "authorization", "cookie"}
)
_SECRET_PAIRS = frozenset(
    {
        ("api", "key"),
        ("access", "key"),
        ("secret", "key"),
        ("private", "key"),
        ("encryption", "key"),
        ("auth", "string"),
    }
)
_SECRET_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "KINTSUGI_SERVE_AUTH",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "PREFECT_API_KEY",
    "PREFECT_API_AUTH_STRING",
    "PREFECT_SERVER_API_AUTH_STRING",
)
_SECRET_ADDRESSES = ("KINTSUGI_NOTIFY",)
"""Of each address in them any part may be a secret."""
_SHORTEST_SECRET = 8
_USERINFO = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s@?#'\"]+@")
_QUERY = re.compile(
    r"(?P<name>[?&](?:x-amz-signature|x-amz-credential|x-amz-security-token|signature|sig|token|access_token|api_key"
    r"|password|awsaccesskeyid)=)[^&\s#'\"]+",
    re.IGNORECASE,
)
_AWS_KEY_ID = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")


def redact_text(text: str) -> str:
    """Return `text` without userinfo and signatures in URLs, AWS key ids, and secrets held in the environment."""
    for variable in _SECRET_VARIABLES:
        secret = os.environ.get(variable, "")
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, REDACTED)
    for variable in _SECRET_ADDRESSES:
        for address in os.environ.get(variable, "").split():
            text = text.replace(address, REDACTED)
    text = _USERINFO.sub(rf"\g<scheme>{REDACTED}@", text)
    text = _QUERY.sub(rf"\g<name>{REDACTED}", text)
    return _AWS_KEY_ID.sub(REDACTED, text)


def redact(name: str, value: object) -> str:
    """Return `value` as text that may be logged under `name`; nothing of it if the name is that of a secret."""
    return REDACTED if _names_a_secret(name) else redact_text(str(value))


def _names_a_secret(name: str) -> bool:
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]
    return not _SECRET_WORDS.isdisjoint(words) or any(pair in _SECRET_PAIRS for pair in itertools.pairwise(words))
