"""Settings: who may ask the service, at which address, and how much of it."""

import hashlib
import ipaddress
import os
import secrets
from dataclasses import dataclass, field
from typing import Self

AUTH = "KINTSUGI_SERVE_AUTH"
HOSTS = "KINTSUGI_SERVE_HOSTS"

_MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """How much one request, and all of them together, may take."""

    body_bytes: int = 32 * _MIB
    """Of a request's body, counted as it comes in."""
    body_s: float = 30.0
    """For a body to come in whole."""
    bodies: int = 8
    """Bodies held at once."""
    head_bytes: int = 16 * 1024
    """Of a request's line and headers."""
    head_s: float = 10.0
    """For a request's line and headers to come in whole."""
    connections: int = 128
    """Open at once."""
    jobs: int = 2
    """Pictures made, mended or set side by side at once."""
    waiting: int = 8
    """Requests that wait for their turn."""
    job_s: float = 120.0
    """For a request's turn to come, and again for its work."""
    pictures: int = 64
    """In one request or answer."""
    runs: int = 8
    """Set side by side."""
    grace_s: float = 5.0
    """For requests under way when the service is stopped."""


class Credentials:
    """One name and password; only their digest is kept, so that no message can show them."""

    def __init__(self, name_and_password: str) -> None:
        self._digest = hashlib.sha256(name_and_password.encode()).digest()

    def fit(self, name_and_password: bytes) -> bool:
        """Return whether they are these; the time it takes does not tell how much of them is right."""
        return secrets.compare_digest(hashlib.sha256(name_and_password).digest(), self._digest)


@dataclass(frozen=True)
class Settings:
    """Where the service listens and whom it answers."""

    host: str = "127.0.0.1"
    port: int = 5001
    credentials: Credentials | None = None
    """None: whoever reaches it may ask; on loopback only."""
    names: frozenset[str] = frozenset()
    """Names, in lower case, by which requests may call this server."""
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def from_environment(cls, host: str, port: int, allowed_hosts: tuple[str, ...] = ()) -> Self:
        """Return the settings for an address, with the password in KINTSUGI_SERVE_AUTH.

        Args:
            host: Name or address to listen on.
            port: 0 takes any that is free.
            allowed_hosts: Further names by which requests may call the server, beside those in KINTSUGI_SERVE_HOSTS.

        Raises:
            ValueError: The password is not of the form user:password, or an open address has none.
        """
        stated = os.environ.get(AUTH, "")
        user, colon, password = stated.partition(":")
        if stated and not (user and colon and password):
            raise ValueError(f"{AUTH} is not of the form user:password")
        if not stated and not is_loopback(host):
            raise ValueError(f"--host {host} can be reached by others; set {AUTH}=user:password, or leave --host out")
        if not 0 <= port < 1 << 16:
            raise ValueError(f"--port {port}: expected a number from 0 to {(1 << 16) - 1}")
        more = (*allowed_hosts, *os.environ.get(HOSTS, "").replace(",", " ").split())
        names = {host, "localhost", "127.0.0.1", "::1", *more}
        return cls(host, port, Credentials(stated) if stated else None, frozenset(name.lower() for name in names))


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a server that listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
