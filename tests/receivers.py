"""Receivers of messages for tests: a real SMTP server that asks for a password, and a real HTTP server."""

import email
import email.policy
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

PASSWORD = "correct-horse-battery"


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def mail_to(port: int) -> str:
    """Return apprise's address of a mailbox on a port."""
    return f"mailto://team:{PASSWORD}@127.0.0.1:{port}/?from=kintsugi@team.example&to=ada@team.example&mode=insecure"


class Mailbox:
    """What a mail server received, and who it was that logged in."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.mails: list[EmailMessage] = []
        self.logins: list[LoginPassword] = []

    @classmethod
    @contextmanager
    def on(cls, port: int) -> Iterator["Mailbox"]:
        """Yield a mailbox that its server fills while the block runs."""
        box = cls(port)
        controller = Controller(
            box, "127.0.0.1", port, authenticator=box.login, auth_required=True, auth_require_tls=False
        )
        controller.start()
        try:
            yield box
        finally:
            controller.stop()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))  # type: ignore[arg-type]
        return "250 OK"

    def login(self, server: Any, session: Any, envelope: Any, mechanism: str, data: LoginPassword) -> AuthResult:
        self.logins.append(data)
        return AuthResult(success=data.password == PASSWORD.encode())

    @property
    def words(self) -> str:
        """All that the mails say."""
        parts = [part for mail in self.mails for part in mail.walk() if part.get_content_maintype() == "text"]
        return "".join(part.get_content() for part in parts)


class Webhook:
    """What was posted to an HTTP server, as JSON; what is posted to /refused is not taken."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.posts: list[dict[str, Any]] = []

    @classmethod
    @contextmanager
    def listening(cls) -> Iterator["Webhook"]:
        """Yield a webhook that takes posts while the block runs."""

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                hook.posts.append({"path": self.path, "login": self.headers.get("Authorization"), **body})
                self.send_response(401 if self.path == "/refused" else 200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        hook = cls(server.server_port)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield hook
        finally:
            server.shutdown()
            server.server_close()
