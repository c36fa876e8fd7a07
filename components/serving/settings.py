"""Settings: who may ask the service, at which address, and how much of it."""

import hashlib
import ipaddress
import os
import secrets
from dataclasses import dataclass, field
from typing import Self

AUTH = "KINTSUGI_SERVE_AUTH"
TOKEN = "KINTSUGI_SERVE_TOKEN"
HOSTS = "KINTSUGI_SERVE_HOSTS"

_MIB = 1 << 20
_SHORTEST_TOKEN = 16


@dataclass(frozen=True)
class Limits:
    """How much one request, and all of them together, may take."""

    body_bytes: int = 32 * _MIB
    """Of a request's body, counted as it comes in."""
    body_s: float = 30.0
    """For a body to come in whole."""
    bodies: int = 96
    """Bodies held at once."""
    held_bytes: int = 256 * _MIB
    """Of all bodies held at once."""
    head_bytes: int = 16 * 1024
    """Of a request's line and headers."""
    head_s: float = 10.0
    """For a request's line and headers to come in whole."""
    connections: int = 128
    """Open at once."""
    jobs: int = 8
    """Requests worked on at once; their tiles go through a network together."""
    large_jobs: int = 2
    """Of these, with pictures of more than `large_pixels`."""
    large_pixels: int = 4_000_000
    """What takes hundreds of megabytes of memory to mend."""
    waiting: int = 64
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
    """A name and password, or a token; only its digest is kept, so that no message can show it."""

    def __init__(self, secret: str) -> None:
        self._digest = hashlib.sha256(secret.encode()).digest()

    def fit(self, secret: bytes) -> bool:
        """Return whether it is this one; the time it takes does not tell how much of it is right."""
        return secrets.compare_digest(hashlib.sha256(secret).digest(), self._digest)


@dataclass(frozen=True)
class Settings:
    """Where the service listens and whom it answers."""

    host: str = "127.0.0.1"
    port: int = 5001
    credentials: Credentials | None = None
    """User and password; None: nobody is let in by them."""
    token: Credentials | None = None
    """What programs send as a bearer token; None: nobody is let in by one."""
    names: frozenset[str] = frozenset()
    """Names, in lower case, by which requests may call this server."""
    limits: Limits = field(default_factory=Limits)

    @property
    def is_open(self) -> bool:
        """Whether whoever reaches it may ask, as may be on loopback only."""
        return self.credentials is None and self.token is None

    @classmethod
    def from_environment(cls, host: str, port: int, allowed_hosts: tuple[str, ...] = ()) -> Self:
        """Return the settings for an address, with password and token of the environment.

        Args:
            host: Name or address to listen on.
            port: 0 takes any that is free.
            allowed_hosts: Further names by which requests may call the server, beside those in KINTSUGI_SERVE_HOSTS.

        Raises:
            ValueError: The password is not of the form user:password, the token too short or not one word, or an open
                address has neither.
        """
        stated = os.environ.get(AUTH, "")
        user, colon, password = stated.partition(":")
        if stated and not (user and colon and password):
            raise ValueError(f"{AUTH} is not of the form user:password")
        token = _token()
        if not stated and token is None and not is_loopback(host):
            words = f"set {AUTH}=user:password or {TOKEN}, or leave --host out"
            raise ValueError(f"--host {host} can be reached by others; {words}")
        if not 0 <= port < 1 << 16:
            raise ValueError(f"--port {port}: expected a number from 0 to {(1 << 16) - 1}")
        more = (*allowed_hosts, *os.environ.get(HOSTS, "").replace(",", " ").split())
        names = {host, "localhost", "127.0.0.1", "::1", *more}
        credentials = Credentials(stated) if stated else None
        return cls(host, port, credentials, token, frozenset(name.lower() for name in names))


def _token() -> Credentials | None:
    stated = os.environ.get(TOKEN, "")
    if stated and (len(stated) < _SHORTEST_TOKEN or not stated.isascii() or not stated.isprintable() or " " in stated):
        raise ValueError(f"{TOKEN}: expected one word of at least {_SHORTEST_TOKEN} ASCII characters")
    return Credentials(stated) if stated else None


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a server that listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
