"""Measuring: what the service counts of itself, in a registry of its own, in the words of Prometheus."""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

TYPE = CONTENT_TYPE_PLAIN_0_0_4

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_COUNTS = (1, 2, 4, 8, 16, 32, 64)


class Measures:
    """Counters and gauges; each is written by one part of the service, from any thread."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        """Holds all of it; other parts of the service add their own."""
        self._requests = Counter("kintsugi_requests", "Requests answered.", ["route", "status"], registry=own)
        self._seconds = Histogram(
            "kintsugi_request_seconds",
            "From a request's head to its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=own,
        )
        self._pictures = Counter("kintsugi_pictures", "Pictures made or mended.", ["model", "version"], registry=own)
        self._batches = Histogram(
            "kintsugi_batch_size", "Tiles or draws that went through a network together.", buckets=_COUNTS, registry=own
        )
        self.waiting = Gauge("kintsugi_queue", "Requests that wait for their turn.", registry=own)
        """Set by whoever lets requests wait."""
        self.working = Gauge("kintsugi_jobs", "Requests that are worked on.", registry=own)
        """Set by whoever works on them."""
        self._version = Gauge("kintsugi_champion_version", "Version in service.", ["model"], registry=own)
        self._since = Gauge(
            "kintsugi_champion_age_seconds", "For how long that version has been in memory.", ["model"], registry=own
        )
        self._promoted = Gauge(
            "kintsugi_champion_promoted_timestamp_seconds",
            "When the champion was put in service, by the ledger.",
            ["model"],
            registry=own,
        )

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count one answer."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def made(self, model: str, version: int, pictures: int) -> None:
        """Count pictures that were made or mended."""
        self._pictures.labels(model, str(version)).inc(pictures)

    def passed(self, pieces: int) -> None:
        """Count one pass through a network."""
        self._batches.observe(pieces)

    def promoted(self, model: str, at: datetime) -> None:
        """Say since when a model has the champion that it has."""
        self._promoted.labels(model).set(at.timestamp())

    def in_service(self, model: str, version: int, since: datetime) -> None:
        """Say which version of a model answers, and since when it is in memory."""
        self._version.labels(model).set(version)
        self._since.labels(model).set_function(lambda: (datetime.now(UTC) - since).total_seconds())

    def out_of_service(self, model: str) -> None:
        """Say nothing more of a model."""
        self._version.remove(model)
        self._since.remove(model)

    def text(self) -> bytes:
        """Return all of it, in Prometheus's text format."""
        return generate_latest(self.registry)


class Counting:
    """ASGI middleware: every answer is counted under the route it came from, or under "none"."""

    def __init__(self, app: App, measures: Measures) -> None:
        self._app, self._measures = app, measures

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Pass on one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, seen)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            self._measures.answered(route, status, time.perf_counter() - began)
