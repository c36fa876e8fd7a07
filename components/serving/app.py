"""The application: routes behind the guard, and errors as one line of JSON without paths or call stacks."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from components.serving.background import Workers
from components.serving.browsing import page_routes
from components.serving.champions import Champions
from components.serving.guard import PROTECTIONS, Guard, refused
from components.serving.models import model_routes
from components.serving.pages import Pages
from components.serving.refusal import Refusal
from components.serving.settings import Settings

_log = logging.getLogger(__name__)


def create_app(settings: Settings, champions: Champions, pages: Pages, model: str | None = None) -> FastAPI:
    """Return the application.

    Args:
        settings: Whom it answers, and how much.
        champions: The models.
        pages: The pages.
        model: The model behind /invocations, loaded at the start; None for no such address.
    """
    workers = Workers(settings.limits)

    @asynccontextmanager
    async def living(_app: FastAPI) -> AsyncIterator[None]:
        champions.refresher.look_again()
        pages.refresher.look_again()
        loading = asyncio.ensure_future(_load(champions, model))
        yield
        workers.stop()
        loading.cancel()

    app = FastAPI(title="Kintsugi", lifespan=living, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard, settings=settings)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(HTTPException, _refused_by_framework)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(Exception, _unforeseen)
    app.include_router(page_routes(pages, champions, workers, settings.limits))
    app.include_router(model_routes(champions, workers, settings.limits, model))

    @app.get("/ping")
    @app.get("/health")
    async def health() -> dict[str, object]:
        champions.refresher.look_again()
        pages.refresher.look_again()
        since = {"models": champions.refresher.stale_since, "pages": pages.refresher.stale_since}
        return {"status": "ok", "stale_since": {what: moment and moment.isoformat() for what, moment in since.items()}}

    return app


async def _load(champions: Champions, model: str | None) -> None:
    if model is not None:
        with suppress(Refusal):  # said again to whoever asks for it
            await champions.get(model)


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refusal)
    return refused(error)


async def _refused_by_framework(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _not_understood(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    mistake = error.errors()[0]
    return JSONResponse({"error": f"{mistake['loc'][-1]}: {mistake['msg']}"}, 422)


async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    number = secrets.token_hex(4)
    _log.error("error %s in %s %r", number, request.method, request.url.path, exc_info=error)
    return JSONResponse({"error": f"something went wrong here; the log has it as {number}"}, 500, PROTECTIONS)
