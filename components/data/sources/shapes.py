"""The source `shapes`: coloured figures drawn from a seed, for tests and first steps."""

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
from PIL import Image, ImageDraw
from pydantic import Field

from components.data.sources.item import RawItem, Source
from components.pictures.encoding import png
from components.section import digest_of
from components.seeding import numpy_generator

_CORNERS = (3, 4, 5, 6)
_CLASSES = ("one figure", "two figures", "three figures")


class ShapesSource(Source):
    """Polygons, discs and bars on a plain ground. A larger count keeps the images of a smaller one."""

    kind: Literal["shapes"] = "shapes"
    """Figures drawn from a seed."""
    images: int = Field(default=256, ge=1)
    """Number of images to draw."""
    seed: int = Field(default=0, ge=0)
    """Seed of the drawing; image number i depends on the seed and i alone."""
    raster_px: int = Field(default=64, ge=8, le=1024)
    """Side in pixels of the drawn image, before it is scaled to the dataset's size."""
    labels: bool = False
    """Take the number of figures drawn as the image's class, for conditional models."""

    is_made_here: ClassVar[bool] = True

    def describe(self) -> str:
        """Return the number of images and the seed."""
        return f"{self.images} drawn shapes, seed {self.seed}"

    def licence(self) -> str:
        """Return that anybody may use them."""
        return "CC0 1.0"

    @property
    def has_classes(self) -> bool:
        """Whether numbers of figures are taken as classes."""
        return self.labels

    def fingerprint(self) -> str:
        """Return a digest of the options."""
        return digest_of(self)

    def count(self) -> int:
        """Return the number of images."""
        return self.images

    def items(self) -> Iterator[RawItem]:
        """Draw the images one by one, as PNG."""
        for number in range(self.images):
            rng = numpy_generator(self.seed, "shapes", number)
            picture, figures = _draw(self.raster_px, rng)
            label = _CLASSES[figures - 1] if self.labels else None
            yield RawItem(f"shape-{number:06d}.png", png(picture, level=1), label=label)


def _draw(side: int, rng: np.random.Generator) -> tuple[Image.Image, int]:
    """Return a picture and the number of figures on it, later ones over earlier ones."""
    scale = 4  # drawn larger and scaled down: ImageDraw's own edges are jagged
    big = side * scale
    picture = Image.new("RGB", (big, big), _colour(rng, 150, 256))
    draw = ImageDraw.Draw(picture)
    figures = int(rng.integers(1, len(_CLASSES) + 1))
    for _ in range(figures):
        x, y = (float(value) for value in rng.uniform(0.25 * big, 0.75 * big, 2))
        radius = float(rng.uniform(0.12, 0.32)) * big
        figure = int(rng.integers(3))
        if figure == 0:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_colour(rng, 0, 220))
        elif figure == 1:
            flat = radius * float(rng.uniform(0.3, 1.0))
            draw.rectangle((x - radius, y - flat, x + radius, y + flat), fill=_colour(rng, 0, 220))
        else:
            corners = int(rng.choice(_CORNERS))
            turn = int(rng.integers(360))
            draw.regular_polygon((x, y, radius), corners, rotation=turn, fill=_colour(rng, 0, 220))
    return picture.resize((side, side), Image.Resampling.BOX), figures


def _colour(rng: np.random.Generator, low: int, high: int) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in rng.integers(low, high, 3))
    return red, green, blue
