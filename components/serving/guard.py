"""Guard: stands before every route; who asks, by which name, from which page, and how much he sends."""

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

from components.serving.refusal import Refusal
from components.serving.settings import Settings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

OPEN = frozenset({"/health", "/healthz", "/ping", "/readyz"})
"""Asked by machines that have no password and know no name; they learn only that the service is there."""
PROTECTIONS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""Headers of every answer that does not state its own."""

_READ_FROM = frozenset({"GET", "HEAD"})
_DRAIN_S = 5.0


class Guard:
    """ASGI middleware. A body is taken in whole, within its limits, before any route or worker hears of the request."""

    def __init__(self, app: App, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._bodies = 0
        self._held_bytes = 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer or pass on one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        protected = _protecting(send)
        headers = Headers(scope=scope)
        holds_body, body = False, bytearray()
        try:
            self._admit(scope, headers)
            if scope["method"] not in _READ_FROM:
                self._demand_room(headers)
                holds_body = True
                self._bodies += 1
                receive = await self._taken_in(receive, body)
            await self._app(scope, receive, protected)
        except Refusal as refusal:
            if "expect" not in headers:  # who waits for "100 Continue" has sent nothing yet
                await _drain(receive)
            answer = refused(refusal, scope["path"])
            answer.headers["Connection"] = "close"
            await answer(scope, receive, protected)
        finally:
            self._bodies -= holds_body
            self._let_go(body)

    def _admit(self, scope: MutableMapping[str, Any], headers: Headers) -> None:
        # The server below refuses a long head only if it comes in pieces.
        head = len(scope["raw_path"]) + len(scope["query_string"]) + sum(len(n) + len(v) for n, v in headers.raw)
        if head > self._settings.limits.head_bytes:
            raise Refusal(431, f"a request's head may have at most {self._settings.limits.head_bytes} bytes")
        if scope["path"] in OPEN and scope["method"] in _READ_FROM:
            return
        named = headers.getlist("host")
        host = _host_of(named[0]) if len(named) == 1 else None
        if host is None or host not in self._settings.names:
            raise Refusal(421, "this server is not known by that name; --allowed-host adds one")
        self._demand_password(headers)
        if scope["method"] not in _READ_FROM and _is_from_elsewhere(headers):
            raise Refusal(403, "pages of other sites may not use this server")

    def _demand_password(self, headers: Headers) -> None:
        settings = self._settings
        if settings.is_open:
            return
        scheme, _, text = headers.get("authorization", "").partition(" ")
        with suppress(binascii.Error, ValueError):
            if scheme.lower() == "basic" and settings.credentials is not None:
                if settings.credentials.fit(base64.b64decode(text.strip(), validate=True)):
                    return
            elif (
                scheme.lower() == "bearer" and settings.token is not None and settings.token.fit(text.strip().encode())
            ):
                return
        raise _UnknownError(settings)

    def _demand_room(self, headers: Headers) -> None:
        limits = self._settings.limits
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            raise Refusal(400, "Content-Length is no number")
        if int(length) > limits.body_bytes:
            raise self._too_large()
        if self._bodies >= limits.bodies or self._held_bytes + int(length) > limits.held_bytes:
            raise Refusal(429, "too many requests at once; try again in a moment", retry_after_s=2)

    async def _taken_in(self, receive: Receive, body: bytearray) -> Receive:
        """Take the whole of a request into `body`, and return a `receive` that gives it at once."""
        limits = self._settings.limits
        try:
            async with asyncio.timeout(limits.body_s):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise Refusal(400, "the request broke off")
                    part = message.get("body", b"")
                    body += part
                    self._held_bytes += len(part)
                    if len(body) > limits.body_bytes:
                        self._let_go(body)
                        raise self._too_large()
                    if not message.get("more_body", False):
                        break
        except TimeoutError as error:
            raise Refusal(408, f"the request took longer than {limits.body_s:g} s to come in") from error
        whole: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replayed() -> Message:
            return whole.pop() if whole else await receive()

        return replayed

    def _let_go(self, body: bytearray) -> None:
        self._held_bytes -= len(body)
        body.clear()

    def _too_large(self) -> Refusal:
        return Refusal(413, f"a request may have at most {self._settings.limits.body_bytes / (1 << 20):g} MiB")


class _UnknownError(Refusal):
    """No password and no token, or a wrong one."""

    def __init__(self, settings: Settings) -> None:
        ways = {"user and password": settings.credentials, "a bearer token": settings.token}
        wanted = [way for way, secret in ways.items() if secret is not None]
        super().__init__(401, f"{' or '.join(wanted)} {'are' if settings.credentials else 'is'} needed")
        scheme = "Basic" if settings.credentials is not None else "Bearer"
        self.headers = {"WWW-Authenticate": f'{scheme} realm="kintsugi", charset="UTF-8"'}


def refused(refusal: Refusal, path: str) -> JSONResponse:
    """Return the answer that says why, in one line of JSON; clients of MLflow look for it in `message`."""
    words = {"detail": str(refusal)} | ({"message": str(refusal)} if path == "/invocations" else {})
    return JSONResponse(words, refusal.status, refusal.headers)


def _protecting(send: Send) -> Send:
    async def protected(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in PROTECTIONS.items():
                headers.setdefault(name, value)
        await send(message)

    return protected


async def _drain(receive: Receive) -> None:
    """Let a client finish sending for a moment, for else many see a broken connection and not the answer."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_S):
            while (message := await receive())["type"] == "http.request" and message.get("more_body", False):
                pass


def _host_of(stated: str) -> str | None:
    try:
        return urlsplit(f"//{stated}").hostname
    except ValueError:
        return None


def _is_from_elsewhere(headers: Headers) -> bool:
    """Whether a browser says that a page of another site sends this: it would do so with the person's password."""
    if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != headers["host"].lower()
