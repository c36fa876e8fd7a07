"""Making: the pictures of one draw, by number, and the files that they become, one by one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from components.champions import files
from components.pictures import figures
from components.pictures.decoding import DAMAGE
from components.pictures.formats import Format, encoded, named
from components.pictures.metadata import Metadata
from components.pictures.provenance import Maker, Provenance, marked, provenance_of
from components.recipes.recipe import ClassGenerator, Generator, Images

AT_ONCE = 64
"""Pictures of one pass through the network. It rounds otherwise in passes of other sizes, so this stays as it is."""

Picture = UInt8[np.ndarray, "height width 3"]
Progress = Callable[[int, int], None]
"""Told how many pictures there are, and how many there will be."""


@dataclass(frozen=True)
class Draw:
    """The pictures of one seed, by number; each is the same however many are made."""

    producer: Generator
    maker: Maker | None
    """What their files say of where they come from; None: nothing."""
    seed: int
    of: str | None = None
    """Class; None: any."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that the model knows."""
        return tuple(self.producer.classes) if isinstance(self.producer, ClassGenerator) else ()

    def pictures(self, count: int, first: int = 0) -> Images:
        """Return the pictures numbered `first` and on."""
        if self.of is None:
            return self.producer.generate(count, self.seed, first)
        assert isinstance(self.producer, ClassGenerator)
        return self.producer.generate_class(self.of, count, self.seed, first)

    def numbered(self, numbers: range) -> Iterator[tuple[int, Picture]]:
        """Yield pictures with their numbers, made a few at a time."""
        for first in range(numbers.start, numbers.stop, AT_ONCE):
            pictures = self.pictures(min(AT_ONCE, numbers.stop - first), first)
            yield from enumerate(pictures, first)

    def said(self, number: int | None) -> Provenance | None:
        """Return what a picture's file says of where it comes from; no number is a sheet of the first ones."""
        return None if self.maker is None else self.maker.made(self.seed, number, self.of)

    def file(self, pictures: Images, form: Format, number: int | None) -> bytes:
        """Return the file of one picture, or of a grid of several."""
        image = Image.fromarray(pictures[0] if len(pictures) == 1 else figures.grid(pictures, scale=1))
        said = self.said(number)
        kept = Metadata() if said is None else marked(Metadata(), said).within(form.keeps, form.most_bytes, form.name)
        return encoded(image, form, kept)

    def place(self, folder: Path, number: int) -> Path:
        """Return where a picture's file goes in a folder."""
        return folder / f"{self.seed}-{number:05d}.png"


@dataclass
class Count:
    """How many pictures are where they should be."""

    fresh: int = 0
    there: int = 0
    """Made by an earlier command."""


def make_files(draw: Draw, count: int, folder: Path, progress: Progress) -> Count:
    """Write the first pictures of a draw, but for those that an earlier command wrote and marked.

    Raises:
        UnwritableError: A file cannot be written.
    """
    tally = Count()
    for first in range(0, count, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, count))
        wanted = [number for number in numbers if not is_there(draw.place(folder, number), draw.said(number))]
        pictures = draw.pictures(len(numbers), first) if wanted else None
        for number in wanted:
            assert pictures is not None
            files.save(draw.file(pictures[[number - first]], named("PNG"), number), draw.place(folder, number))
        tally.fresh, tally.there = tally.fresh + len(wanted), tally.there + len(numbers) - len(wanted)
        progress(numbers.stop, count)
    return tally


def is_there(target: Path, wanted: Provenance | None, *, in_place: bool = False) -> bool:
    """Return whether a file says that it is the same work, of the same picture unless it has taken its place."""
    if wanted is None:
        return False
    try:
        with Image.open(target) as image:
            said = provenance_of(image)
    except DAMAGE:
        return False
    if said is not None and in_place:
        wanted = wanted.model_copy(update={"source": said.source})
    return said is not None and said.is_of_the_same_work(wanted)
