"""Routes for machines: whether the service is there, whether it can answer, and what it counts."""

from contextlib import suppress

from fastapi import APIRouter
from starlette.responses import Response

from components.serving import measuring
from components.serving.champions import Champions
from components.serving.pages import Pages
from components.serving.pipeline import Pipeline
from components.serving.refusal import Refusal

_AGAIN_S = 2


class Readiness:
    """Whether the registry was read, and the models that were named are in memory."""

    def __init__(self, champions: Champions, models: tuple[str, ...]) -> None:
        self._champions, self._models = champions, models

    async def load(self) -> None:
        """Read the registry and load what was named. What fails is tried again by whoever asks for it."""
        await self._champions.records()
        for model in self._models:
            with suppress(Refusal):
                await self._champions.get(model)

    async def demand(self) -> None:
        """Go on only if requests for the named models are answered.

        Raises:
            Refusal: Why they are not.
        """
        self._champions.refresher.look_again()
        self._champions.demand_seen()
        for model in self._models:
            try:
                await self._champions.get(model)
            except Refusal as error:
                raise Refusal(503, str(error), retry_after_s=_AGAIN_S) from error


def health_routes(
    champions: Champions, pages: Pages, readiness: Readiness, pipeline: Pipeline | None = None
) -> APIRouter:
    """Return the routes that say how the service is and, where it watches it, the pipeline."""
    routes = APIRouter()

    @routes.get("/ping", include_in_schema=False)
    @routes.get("/health", include_in_schema=False)
    @routes.get("/healthz", summary="Whether the service is there, and since when what it knows is old")
    async def health() -> dict[str, object]:
        champions.refresher.look_again()
        pages.refresher.look_again()
        since = {"models": champions.refresher.stale_since, "pages": pages.refresher.stale_since}
        return {"status": "ok", "stale_since": {what: moment and moment.isoformat() for what, moment in since.items()}}

    @routes.get("/readyz", summary="Whether the registry was read and the named models are loaded; else 503")
    async def ready() -> dict[str, str]:
        await readiness.demand()
        return {"status": "ready"}

    @routes.get("/metrics", summary="What the service counts, and what the nights are at, for Prometheus")
    async def metrics() -> Response:
        champions.refresher.look_again()
        if pipeline is not None:
            await pipeline.refresher.fresh()
        return Response(champions.measures.text(), media_type=measuring.TYPE)

    return routes
