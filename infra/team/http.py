"""One request to a server with a name and a password, and the JSON that comes back."""

import base64
import json
import urllib.request
from typing import Any

_direct = urllib.request.build_opener(
    urllib.request.ProxyHandler({})
)  # a proxy would not reach this machine's loopback


def call(url: str, login: str, body: object = None, method: str | None = None) -> Any:  # noqa: ANN401 - JSON
    """Send a request, `body` as JSON, and return the JSON of the answer.

    Args:
        url: where to
        login: "user:password"
        body: what to send; with none, the request is a GET
        method: another method than GET or POST

    Raises:
        urllib.error.HTTPError: the server refused.
        OSError: the server is away.
    """
    headers = {
        "Authorization": "Basic " + base64.b64encode(login.encode()).decode(),
        "Content-Type": "application/json",
    }
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    with _direct.open(request, timeout=10) as answer:
        return json.loads(answer.read() or b"null")
