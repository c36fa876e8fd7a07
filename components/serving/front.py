"""Routes of the first page, on which people mend and draw, and of the page that lists all addresses for programs."""

from pathlib import Path

from fastapi import APIRouter, FastAPI
from starlette.responses import HTMLResponse, Response

from components.report.rendering import style
from components.report.service import address_page
from components.serving.refusal import Refusal

_FILES = Path(__file__).parent / "static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_POLICY_OF_ADDRESSES = "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""Beside what the page itself states, as all pages of reports do."""


def front_routes(app: FastAPI) -> APIRouter:
    """Return the routes; `app` is what the page of addresses describes."""
    routes = APIRouter(include_in_schema=False)
    files = {path.name: path.read_bytes() for path in _FILES.iterdir() if path.suffix in _TYPES}
    files["report.css"] = style().encode()
    page = (_FILES / "index.html").read_text()

    @routes.get("/")
    async def front() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})

    @routes.get("/static/{name}")
    async def file(name: str) -> Response:
        if name not in files:
            raise Refusal(404, "there is no such file")
        return Response(files[name], media_type=_TYPES[Path(name).suffix])

    @routes.get("/docs")
    async def addresses() -> HTMLResponse:
        return HTMLResponse(address_page(app.openapi()), headers={"Content-Security-Policy": _POLICY_OF_ADDRESSES})

    return routes
