"""The application: routes behind the guard, and errors as one line of JSON without paths or call stacks."""

import asyncio
import importlib.metadata
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from components.serving.background import Workers
from components.serving.browsing import page_routes
from components.serving.cards import Cards
from components.serving.champions import Champions
from components.serving.front import front_routes
from components.serving.guard import PROTECTIONS, Guard, refused
from components.serving.health import Readiness, health_routes
from components.serving.measuring import Counting
from components.serving.models import ModelRoutes, model_routes
from components.serving.pages import Pages
from components.serving.pipeline import Pipeline
from components.serving.refusal import Refusal
from components.serving.settings import Settings

_log = logging.getLogger(__name__)


def create_app(
    settings: Settings,
    champions: Champions,
    pages: Pages,
    models: tuple[str, ...] = (),
    pipeline: Pipeline | None = None,
) -> FastAPI:
    """Return the application.

    Args:
        settings: Whom it answers, and how much.
        champions: The models.
        pages: The pages.
        models: Models that are loaded at the start; the first is behind /invocations, else the only one there is.
        pipeline: What the nights are at; None watches none.
    """
    workers = Workers(settings.limits, champions.measures)
    readiness = Readiness(champions, models)

    @asynccontextmanager
    async def living(_app: FastAPI) -> AsyncIterator[None]:
        pages.refresher.look_again()
        loading = asyncio.ensure_future(readiness.load())
        yield
        workers.stop()
        loading.cancel()

    app = FastAPI(title="Kintsugi", version=_version(), lifespan=living, docs_url=None, redoc_url=None)
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(Counting, measures=champions.measures)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(HTTPException, _refused_by_framework)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(Exception, _unforeseen)
    app.include_router(front_routes(app))
    asked = ModelRoutes(champions, workers, settings.limits)
    app.include_router(model_routes(asked, Cards(champions, pages), models[0] if models else None), tags=["Models"])
    app.include_router(health_routes(champions, pages, readiness, pipeline), tags=["For machines"])
    app.include_router(page_routes(pages, champions, workers, settings.limits), tags=["For people"])
    return app


def _version() -> str:
    try:
        return importlib.metadata.version("kintsugi")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refusal)
    return refused(error, request.url.path)


async def _refused_by_framework(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)


async def _not_understood(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    mistake = error.errors()[0]
    return JSONResponse({"detail": f"{mistake['loc'][-1]}: {mistake['msg']}"}, 422)


async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    number = secrets.token_hex(4)
    _log.error("error %s in %s %r", number, request.method, request.url.path, exc_info=error)
    return JSONResponse({"detail": f"something went wrong here; the log has it as {number}"}, 500, PROTECTIONS)
