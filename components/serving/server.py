"""The server: a socket, and uvicorn on it with limits on connections, heads and time."""

import asyncio
import logging
import socket

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from components.serving.settings import Limits, Settings


class ServiceError(OSError):
    """The service cannot listen at the address."""


def bind(settings: Settings) -> socket.socket:
    """Return a socket that listens at the settings' address.

    Raises:
        ServiceError: The address is taken, or not one of this machine.
    """
    try:
        (family, *_, address), *_ = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        listening = socket.create_server(address[:2], family=family, backlog=settings.limits.connections)
    except OSError as error:
        raise ServiceError(f"cannot listen on {settings.host} port {settings.port}: {error.strerror}") from error
    # What it accepts inherits this. asyncio sets it only on sockets that were made for TCP by name, and without it the
    # body of an answer waits 40 ms for the client to acknowledge the head.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def address_of(listening: socket.socket) -> str:
    """Return the address at which a browser of this machine finds the server."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(app: FastAPI, listening: socket.socket, limits: Limits) -> None:
    """Serve until SIGTERM or Ctrl-C, then end what is under way within the grace, and raise the signal again."""
    server_of(app, limits).run(sockets=[listening])


def server_of(app: FastAPI, limits: Limits) -> uvicorn.Server:
    """Return a server of the application that can be run, and stopped by `should_exit`."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what it says there, our own log says better
    config = uvicorn.Config(
        app,
        http=_impatient(limits.head_s),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=limits.connections,
        h11_max_incomplete_event_size=limits.head_bytes,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=int(limits.grace_s),
    )
    return uvicorn.Server(config)


def _impatient(head_s: float) -> type[asyncio.Protocol]:
    class ImpatientProtocol(H11Protocol):
        """Closes a connection on which no whole head of a request comes in time; uvicorn would wait for ever."""

        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._wait()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state is not h11.IDLE:
                self._stop_waiting()
            elif self._timer is None:
                self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def _wait(self) -> None:
            self._timer = self.loop.call_later(head_s, self.transport.abort)

        def _stop_waiting(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    return ImpatientProtocol
