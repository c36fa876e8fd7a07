"""Work: what is done in a thread for a request whose turn has come: a photo mended, pictures drawn, rows answered."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from components.pictures import figures
from components.pictures.formats import encoded, named
from components.pictures.metadata import Metadata
from components.pictures.photo import Photo
from components.pictures.provenance import marked
from components.pictures.reading import WEB_FORMATS, read_mask, read_photo
from components.recipes.photos import MaskMissingError, mended_file
from components.recipes.recipe import ClassGenerator, Generator, Images
from components.recipes.serving import ServedGenerator, ServedRestorer
from components.serving import asking
from components.serving.background import Deadline
from components.serving.bounded import BoundedGenerator, BoundedRestorer, bounded
from components.serving.refusal import Refusal
from components.serving.settings import Limits
from components.serving.shelf import Champion

if TYPE_CHECKING:
    import pandas as pd

_LEVEL = 4
"""zlib's effort: pictures go over the network, and a person waits for them."""
_FORMATS = {
    "png": replace(named("PNG"), pixels={"compress_level": _LEVEL}),
    "jpeg": named("JPEG"),
    "webp": replace(named("WEBP"), pixels={"lossless": True, "exact": True, "method": 0}),
}


class Made(NamedTuple):
    """The file of a picture."""

    content: bytes
    media_type: str
    remarks: tuple[str, ...] = ()
    """What should be said of it, in words."""


class Workbench:
    """Mends and draws; large pictures, which take much memory, a few at a time."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._large = threading.BoundedSemaphore(limits.large_jobs)

    def mended(self, champion: Champion, files: asking.Pictures, how: asking.Mending, deadline: Deadline) -> Made:
        """Return the mended picture.

        Raises:
            Refusal: The model mends none, the files cannot be read or do not fit, or time is over.
        """
        restorer = bounded(champion.producer, deadline)
        if not isinstance(restorer, BoundedRestorer):
            raise Refusal(422, f"{champion.name} makes pictures and mends none")
        with asking.in_words():
            photo, hole = read_photo(files["image"], "image", WEB_FORMATS), None
            with self._room_for(photo, deadline):
                if "mask" in files:
                    hole = read_mask(files["mask"], "mask", WEB_FORMATS, meaning=how.mask_is, grow_px=how.grow)
                try:
                    written = mended_file(restorer, photo, hole, _FORMATS[how.format], maker=champion.maker)
                except MaskMissingError as error:
                    words = f"{champion.name} only fills missing pixels; send a file called mask, white where missing"
                    raise Refusal(422, words) from error
        return Made(written.content, f"image/{how.format}", written.remarks)

    @contextmanager
    def _room_for(self, photo: Photo, deadline: Deadline) -> Iterator[None]:
        width, height = photo.decoded.size
        if width * height <= self._limits.large_pixels:
            yield
            return
        while not self._large.acquire(timeout=1.0):
            deadline.check()
        try:
            yield
        finally:
            self._large.release()


def drawn(champion: Champion, wish: asking.Wish, deadline: Deadline) -> Made:
    """Return one picture, or several on a sheet.

    Raises:
        Refusal: The model makes none, or none of that class, or time is over.
    """
    generator = bounded(champion.producer, deadline)
    if not isinstance(generator, BoundedGenerator):
        raise Refusal(422, f"{champion.name} mends pictures and makes none")
    with asking.in_words():
        pictures = _pictures(generator, champion.name, wish)
    sheet = pictures[0] if wish.count == 1 else figures.grid(pictures, scale=1)
    made = champion.maker.made(wish.seed, 0 if wish.count == 1 else None, wish.of)
    return Made(encoded(Image.fromarray(sheet), _FORMATS["png"], marked(Metadata(), made)), "image/png")


def predicted(champion: Champion, frame: "pd.DataFrame", deadline: Deadline) -> list[dict[str, str]]:
    """Return what MLflow's interface answers to the rows of `frame`.

    Raises:
        Refusal: A row cannot be answered, or time is over.
    """
    producer = bounded(champion.producer, deadline)
    with asking.in_words():
        if isinstance(producer, BoundedRestorer):
            return ServedRestorer(producer, champion.maker).predict(frame)
        return ServedGenerator(producer, champion.maker).predict(frame)


def _pictures(generator: Generator, name: str, wish: asking.Wish) -> Images:
    if wish.of is None:
        return generator.generate(wish.count, wish.seed)
    if not isinstance(generator, ClassGenerator):
        raise Refusal(422, f"{name} was trained without classes; leave class out")
    return generator.generate_class(wish.of, wish.count, wish.seed)
