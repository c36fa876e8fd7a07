"""Preview: the same few pictures at every look, so that progress is seen and not guessed."""

from collections.abc import Mapping

import numpy as np

from components import seeding
from components.config import CorruptionConfig
from components.data import ShardReader, ShardSet
from components.pictures import figures
from components.recipes.recipe import ClassGenerator, Generator, Images, Producer, Reconstructor, Restorer

_SAMPLES = 36
_COLUMNS = 12
_ROWS = 8

NamedPictures = Mapping[str, figures.Picture]


class Preview:
    """Draws what a producer makes of fixed seeds, fixed validation images and fixed masks."""

    def __init__(self, producer: Producer, shards: ShardSet, corruption: CorruptionConfig | None, seed: int) -> None:
        self.producer = producer
        self.seed = seed
        self.truth: Images | None = None
        if isinstance(producer, Reconstructor | Restorer):
            reader = ShardReader(shards, "validation")
            self.truth = reader.images(np.arange(min(_ROWS, len(reader)))) if len(reader) else None
        if isinstance(producer, Restorer) and corruption is not None and self.truth is not None:
            drawn = [
                corruption.mix.corrupt(image, seeding.numpy_generator(seed, "preview", row))
                for row, image in enumerate(self.truth)
            ]
            self.corrupted = np.stack([one.image for one in drawn])
            self.missing = np.stack([one.missing for one in drawn])

    def draw(self) -> NamedPictures:
        """Return pictures by name, each uint8 (height, width, 3)."""
        pictures: dict[str, figures.Picture] = {}
        if isinstance(self.producer, Generator):
            pictures["samples"] = figures.grid(self.producer.generate(_SAMPLES, self.seed), columns=_COLUMNS)
        if isinstance(self.producer, ClassGenerator):
            rows = [self.producer.generate_class(name, _COLUMNS, self.seed) for name in self.producer.classes[:_ROWS]]
            pictures["classes"] = figures.grid(np.concatenate(rows), columns=_COLUMNS)
        if isinstance(self.producer, Reconstructor) and self.truth is not None:
            views = [("image", self.truth), ("reconstruction", self.producer.reconstruct(self.truth))]
            pictures["reconstructions"] = figures.panels(views)
        if isinstance(self.producer, Restorer) and self.truth is not None:
            restored = self.producer.restore(self.corrupted, self.missing)
            pictures["restorations"] = before_after(self.truth, self.corrupted, restored)
        return pictures


def before_after(truth: Images, corrupted: Images, restored: Images) -> figures.Picture:
    """Return rows of truth, damage, repair and four times their difference, under headings."""
    apart = figures.difference(truth, restored)
    views = [("truth", truth), ("damaged", corrupted), ("mended", restored), ("difference x4", apart)]
    return figures.panels(figures.shrunk(views))
