"""Routes for people who look at runs: runs and models, a run's page, runs side by side, all versions over time."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import HTMLResponse

from components.report.content import Link
from components.report.index import IndexEntry
from components.report.service import ServedModel, service_page
from components.serving.background import Refresher, Workers
from components.serving.board import Board
from components.serving.champions import Champions
from components.serving.pages import Listed, Pages
from components.serving.refusal import Refusal
from components.serving.settings import Limits

# Pages come from a store that others write to: whatever they hold, their scripts see no other page and send nothing.
_FROM_STORE = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'; sandbox allow-scripts allow-popups allow-popups-to-escape-sandbox"
)
_OURS = "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"


def page_routes(pages: Pages, champions: Champions, workers: Workers, limits: Limits) -> APIRouter:
    """Return the routes that show pages."""
    routes, board = APIRouter(), Board(pages.store)

    @routes.get("/runs", summary="All runs and models, as a page")
    async def index() -> HTMLResponse:
        listed, records = await pages.listed(), await champions.records()
        entries = _linked(listed) if pages.refresher.seen else None
        models = [
            ServedModel(
                name=record.name,
                family=record.family,
                version=record.champion,
                scores=record.scores,
                problem=champions.problem(record.name),
            )
            for record in records
        ]
        known = models if champions.refresher.seen else None
        notes = [*_note("The registry", champions.refresher), *_note("The artifact store", pages.refresher)]
        content = service_page(entries, known, pages.skipped, notes)
        return HTMLResponse(content, headers={"Content-Security-Policy": _OURS})

    @routes.get("/pages/{file:path}", summary="The page of a run")
    async def page(file: str) -> HTMLResponse:
        listed = await pages.find(file)
        content = await workers.run(lambda _deadline: pages.html(listed))
        return HTMLResponse(
            content, headers={"Content-Security-Policy": _FROM_STORE, "Cache-Control": "private, max-age=3600"}
        )

    @routes.get("/compare", summary="Runs side by side, as a page")
    async def compare(run: Annotated[list[str], Query()]) -> HTMLResponse:
        if not 2 <= len(run) <= limits.runs:
            raise Refusal(422, f"run: expected from 2 to {limits.runs} runs, found {len(run)}")
        chosen = [await pages.newest(one) for one in run]
        content = await workers.run(lambda _deadline: pages.comparison(chosen))
        return HTMLResponse(content, headers={"Content-Security-Policy": _FROM_STORE})

    @routes.get("/leaderboard", summary="All versions of every model over time, as a page")
    async def leaderboard() -> HTMLResponse:
        await champions.records()
        champions.demand_seen()
        entries = _linked(await pages.listed())
        content = await workers.run(lambda _deadline: board.page(entries, "./runs"))
        return HTMLResponse(content, headers={"Content-Security-Policy": _FROM_STORE})

    return routes


def _linked(listed: list[Listed]) -> list[IndexEntry]:
    """Return the lines of the index with links as the service has them."""
    return [
        one.entry.model_copy(update={"link": Link(label=one.entry.name, url=f"./{one.address}", note=one.page.label)})
        for one in listed
    ]


def _note(what: str, refresher: Refresher) -> list[str]:
    since = refresher.stale_since
    if since is None:
        return []
    return [f"{what} does not answer, or slowly: what is shown is from {since:%Y-%m-%d %H:%M} UTC."]
