"""Routes of the models: which are in service, and what they make and mend."""

from dataclasses import replace
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Query, Request, Response
from PIL import Image

from components.pictures import figures
from components.pictures.formats import encoded, named
from components.pictures.masks import Meaning
from components.pictures.metadata import Metadata
from components.pictures.provenance import marked
from components.pictures.reading import WEB_FORMATS, read_mask, read_photo
from components.recipes.photos import MaskMissingError, mended_file
from components.recipes.recipe import ClassGenerator, Generator, Images, Restorer
from components.recipes.serving import ServedGenerator, ServedRestorer
from components.serving import asking
from components.serving.background import Deadline, Workers
from components.serving.bounded import BoundedGenerator, BoundedRestorer, bounded
from components.serving.champions import Champion, Champions
from components.serving.refusal import Refusal
from components.serving.settings import Limits

_LEVEL = 4
"""zlib's effort: pictures go over the network, and a person waits for them."""
_PNG = replace(named("PNG"), pixels={"compress_level": _LEVEL})


def model_routes(champions: Champions, workers: Workers, limits: Limits, default: str | None) -> APIRouter:
    """Return the routes below /models, and /invocations for the model called `default`."""
    routes = APIRouter()

    @routes.get("/models")
    async def models() -> list[dict[str, Any]]:
        records = await champions.records()
        return [{**record.model_dump(mode="json"), "problem": champions.problem(record.name)} for record in records]

    @routes.post("/models/{name}/repair")
    async def repair(
        name: str, request: Request, mask_is: Meaning | None = None, grow: Annotated[float, Query(ge=0)] = 0
    ) -> Response:
        files = await asking.pictures(request)
        champion = await champions.get(name)

        def repaired(deadline: Deadline) -> bytes:
            return _repaired(champion, files, _MaskReading(mask_is, grow), deadline)

        return _png_answer(champion, await workers.run(repaired))

    @routes.post("/models/{name}/generate")
    async def generate(name: str, request: Request) -> Response:
        wish = await asking.wish(request, limits.pictures)
        champion = await champions.get(name)
        return _png_answer(champion, await workers.run(lambda deadline: _generated(champion, wish, deadline)))

    @routes.post("/invocations")
    async def invocations(request: Request) -> dict[str, list[dict[str, str]]]:
        if default is None:
            raise Refusal(404, "no model was named for this address; kintsugi serve --model NAME names one")
        champion = await champions.get(default)
        mends = isinstance(champion.producer, Restorer)
        frame = await asking.table(request, limits.pictures, mends=mends)

        def predicted(deadline: Deadline) -> list[dict[str, str]]:
            producer = bounded(champion.producer, deadline)
            with asking.in_words():
                if isinstance(producer, BoundedRestorer):
                    return ServedRestorer(producer).predict(frame)
                return ServedGenerator(producer).predict(frame)

        return {"predictions": await workers.run(predicted)}

    return routes


class _MaskReading(NamedTuple):
    """How a request says that its mask is meant."""

    meaning: Meaning | None
    grow_px: float


def _repaired(champion: Champion, files: dict[str, bytes], reading: _MaskReading, deadline: Deadline) -> bytes:
    restorer = bounded(champion.producer, deadline)
    if not isinstance(restorer, BoundedRestorer):
        raise Refusal(422, f"{champion.name} makes pictures and mends none")
    with asking.in_words():
        photo, hole = read_photo(files["image"], "image", WEB_FORMATS), None
        if "mask" in files:
            hole = read_mask(files["mask"], "mask", WEB_FORMATS, meaning=reading.meaning, grow_px=reading.grow_px)
        try:
            return mended_file(restorer, photo, hole, _PNG, maker=champion.maker).content
        except MaskMissingError as error:
            words = f"{champion.name} only fills missing pixels; send a file called mask, white where missing"
            raise Refusal(422, words) from error


def _generated(champion: Champion, wish: asking.Wish, deadline: Deadline) -> bytes:
    generator = bounded(champion.producer, deadline)
    if not isinstance(generator, BoundedGenerator):
        raise Refusal(422, f"{champion.name} mends pictures and makes none")
    with asking.in_words():
        pictures = _drawn(generator, champion.name, wish)
    sheet = pictures[0] if wish.count == 1 else figures.grid(pictures, scale=1)
    made = champion.maker.made(wish.seed, 0 if wish.count == 1 else None, wish.of)
    return encoded(Image.fromarray(sheet), _PNG, marked(Metadata(), made))


def _drawn(generator: Generator, name: str, wish: asking.Wish) -> Images:
    if wish.of is None:
        return generator.generate(wish.count, wish.seed)
    if not isinstance(generator, ClassGenerator):
        raise Refusal(422, f"{name} was trained without classes; leave class out")
    return generator.generate_class(wish.of, wish.count, wish.seed)


def _png_answer(champion: Champion, content: bytes) -> Response:
    headers = {"X-Kintsugi-Model": champion.name, "X-Kintsugi-Version": str(champion.version)}
    return Response(content, media_type="image/png", headers=headers)
