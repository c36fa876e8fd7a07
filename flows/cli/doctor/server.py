"""Server: one question to an HTTP API, and why it was not answered, in words without secrets."""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit, urlunsplit

from components.servers.redaction import redact_text
from flows.cli.doctor.finding import Finding

_TIMEOUT_S = 10
_UNAUTHORIZED, _FORBIDDEN, _ABSENT = 401, 403, 404


class RefusedError(RuntimeError):
    """The server answered with an error."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class _StayHere(urllib.request.HTTPRedirectHandler):
    """Takes a redirection for an answer, so that credentials are shown to nobody else."""

    def redirect_request(self, *_: object) -> None:
        """Go nowhere."""


class Server:
    """An HTTP API and what we show it to say who we are."""

    def __init__(self, url: str, authorization: str | None, context: ssl.SSLContext) -> None:
        parts = urlsplit(url)
        self.url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/")
        """Without the credentials that an address may hold."""
        self.date: str | None = None
        """The Date header of the last answer."""
        self.is_named = authorization is not None
        self._headers = {"Content-Type": "application/json"}
        if authorization is not None:
            self._headers["Authorization"] = authorization
        self._opener = urllib.request.build_opener(_StayHere, urllib.request.HTTPSHandler(context=context))

    def ask(self, path: str, question: Mapping[str, Any], method: Literal["GET", "POST"] = "POST") -> Any:  # noqa: ANN401 - any JSON
        """Return the JSON answer to one question.

        Raises:
            RefusedError: It is a refusal.
            OSError: There is no answer.
            ValueError: It is not JSON, or the address is none.
        """
        asked = f"?{urlencode(question)}" if method == "GET" and question else ""
        return json.loads(self._answer(path + asked, json.dumps(question).encode() if method == "POST" else None))

    def read(self, path: str) -> str:
        """Return what the server has at a path, as text.

        Raises:
            RefusedError: It is a refusal.
            OSError: There is no answer.
            ValueError: It is no text, or the address is none.
        """
        return self._answer(path, None).decode()

    def _answer(self, path: str, body: bytes | None) -> bytes:
        request = urllib.request.Request(
            f"{self.url}/{path}", body, self._headers, method="GET" if body is None else "POST"
        )
        try:
            with self._opener.open(request, timeout=_TIMEOUT_S) as answer:
                self.date = answer.headers.get("Date")
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                self.date = error.headers.get("Date")
                words = error.read(200).decode(errors="replace")
            raise RefusedError(error.code, redact_text(words)) from error

    def problem(self, what: str, error: Exception, address: str, secrets: str) -> Finding:
        """Return why it did not answer as it should.

        Args:
            what: The server's name.
            error: What `ask` raised.
            address: The variable that holds its address.
            secrets: The variables that hold our credentials, in words.
        """
        found, advice = _why(error), f"start it or mend {address}"
        if isinstance(error, RefusedError):
            advice = f"mend {address}"
            if error.status == _UNAUTHORIZED:
                found = "it does not accept our password" if self.is_named else "it asks for a password"
                advice = f"{'mend' if self.is_named else 'set'} {secrets}"
            elif error.status == _FORBIDDEN:
                found, advice = "we may not use its API", f"have the right given, or mend {secrets}"
            elif error.status == _ABSENT:
                found = "no API at this address"
        return Finding(what=what, state="problem", found=found, advice=advice)


def _why(error: Exception) -> str:
    if isinstance(error, RefusedError):
        return f"it answered {error.status}: {error}"
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLError):
        return f"TLS failed: {getattr(reason, 'verify_message', '') or reason.reason}"
    if isinstance(error, ValueError):
        return "its answer is not that of an API"
    return f"no answer ({redact_text(getattr(reason, 'strerror', None) or str(reason))})"
