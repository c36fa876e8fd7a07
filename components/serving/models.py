"""Routes of the models: which are in service, and what they make and mend."""

import base64
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import JSONResponse

from components.recipes.recipe import Restorer
from components.serving import asking, saying
from components.serving.background import Workers
from components.serving.cards import CardOfModel, Cards
from components.serving.champions import Champions
from components.serving.refusal import Refusal
from components.serving.settings import Limits
from components.serving.shelf import Champion
from components.serving.work import Made, Workbench, drawn, predicted


class ModelRoutes:
    """What the routes share: the models, and who works for a request."""

    def __init__(self, champions: Champions, workers: Workers, limits: Limits) -> None:
        self.champions, self.limits = champions, limits
        self._workers, self._bench = workers, Workbench(limits)

    async def mend(self, request: Request, champion: Champion, files: asking.Pictures, how: asking.Mending) -> Response:
        """Answer with the mended picture."""
        made = await self._workers.run(lambda deadline: self._bench.mended(champion, files, how, deadline))
        return self._answer(request, champion, made, 1)

    async def draw(self, request: Request, champion: Champion, wish: asking.Wish) -> Response:
        """Answer with a picture or a sheet of them."""
        made = await self._workers.run(lambda deadline: drawn(champion, wish, deadline))
        return self._answer(request, champion, made, wish.count)

    async def predict(self, request: Request, champion: Champion) -> dict[str, list[dict[str, str]]]:
        """Answer as MLflow's scoring server does."""
        mends = isinstance(champion.producer, Restorer)
        frame = await asking.table(request, self.limits.pictures, mends=mends)
        answers = await self._workers.run(lambda deadline: predicted(champion, frame, deadline))
        self.champions.measures.made(champion.name, champion.version, len(answers))
        return {"predictions": answers}

    def _answer(self, request: Request, champion: Champion, made: Made, pictures: int) -> Response:
        self.champions.measures.made(champion.name, champion.version, pictures)
        said = {"model": champion.name, "version": champion.version, "remarks": list(made.remarks)}
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse({"image": base64.b64encode(made.content).decode(), "type": made.media_type, **said})
        headers = {"X-Kintsugi-Model": champion.name, "X-Kintsugi-Version": str(champion.version)}
        return Response(made.content, media_type=made.media_type, headers=headers)


def model_routes(routes_of: ModelRoutes, cards: Cards, default: str | None) -> APIRouter:
    """Return the routes that ask models, and /invocations for the model called `default`, or the only one there is."""
    routes, champions = APIRouter(), routes_of.champions

    @routes.get("/models", summary="All models, their versions, and which of them is in service")
    async def models() -> list[dict[str, Any]]:
        records = await champions.records()
        champions.demand_seen()
        return [
            {
                **record.model_dump(mode="json"),
                "does": saying.deed(record.family),
                "problem": champions.problem(record.name),
                "versions": [one.model_dump(mode="json") for one in champions.versions(record.name)],
            }
            for record in records
        ]

    @routes.get("/models/{name}/card", summary="What a version learnt from and how good it is, baselines beside it")
    async def card(name: str, version: Annotated[int | None, Query(ge=1)] = None) -> CardOfModel:
        return await cards.of(await champions.get(name, version))

    @routes.post("/repair", **saying.REPAIR)
    async def repair(request: Request) -> Response:
        files, how = await asking.repair(request)
        return await routes_of.mend(request, await champions.get(how.model, how.version), files, how)

    @routes.post("/generate", **saying.GENERATE)
    async def generate(request: Request) -> Response:
        wish = await asking.wish(request, asking.Draw, routes_of.limits.pictures)
        return await routes_of.draw(request, await champions.get(wish.model, wish.version), wish)

    @routes.post("/models/{name}/repair", **saying.REPAIR_BY_NAME)
    async def repair_by_name(name: str, request: Request, how: Annotated[asking.Mending, Query()]) -> Response:
        files = await asking.pictures(request)
        return await routes_of.mend(request, await champions.get(name, how.version), files, how)

    @routes.post("/models/{name}/generate", **saying.GENERATE_BY_NAME)
    async def generate_by_name(name: str, request: Request) -> Response:
        wish = await asking.wish(request, asking.Wish, routes_of.limits.pictures)
        return await routes_of.draw(request, await champions.get(name, wish.version), wish)

    @routes.post("/invocations", **saying.INVOCATIONS)
    async def invocations(request: Request) -> dict[str, list[dict[str, str]]]:
        return await routes_of.predict(request, await champions.get(default or await _only_one(champions)))

    return routes


async def _only_one(champions: Champions) -> str:
    """Return the model that is meant where none is named: the only one in service.

    Raises:
        Refusal: There are several, or none.
    """
    names = [record.name for record in await champions.records() if record.champion is not None]
    if len(names) == 1:
        return names[0]
    there = f"of {', '.join(names)}, " if names else ""
    raise Refusal(404, f"no model was named for this address; {there}kintsugi serve --model NAME names one")
