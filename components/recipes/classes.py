"""Classes: which there are and how often each is drawn, for families that make pictures by class."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Int64

from components import seeding
from components.data.shardset import SplitFacts
from components.deferred.torch import Tensor, torch


def classes_among(training: SplitFacts, given: Mapping[str, int]) -> dict[str, int]:
    """Return how often each class is drawn: as `given`, or where nothing is given as often as among the images.

    Raises:
        ValueError: The training images have no classes, or not those that are given.
    """
    if not training.classes:
        raise ValueError("recipe.conditional: the training images have no classes; set source.labels")
    if given and given.keys() != training.classes.keys():
        differ = sorted(given.keys() ^ training.classes.keys())
        raise ValueError(f"recipe.classes: {', '.join(differ)} not both there and among the training images")
    # In the order of their numbers, which is that of the training images' manifest.
    return {name: given.get(name, count) for name, count in training.classes.items()}


class Classes:
    """The classes of a trained model, by name and number."""

    def __init__(self, frequencies: Mapping[str, int]) -> None:
        self.names = tuple(frequencies)
        self._weights = torch.tensor(list(frequencies.values()), dtype=torch.float64)

    def draw(self, samples: int, seed: int, first: int = 0) -> Int64[Tensor, " samples"]:
        """Return the classes of the pictures numbered `first` and on, each class as often as it should be."""
        generators = (seeding.torch_generator(seed, "class", first + place) for place in range(samples))
        return torch.cat([torch.multinomial(self._weights, 1, generator=generator) for generator in generators])

    def only(self, name: str, samples: int) -> Int64[Tensor, " samples"]:
        """Return one class as often as there are samples.

        Raises:
            ValueError: There is no such class.
        """
        if name not in self.names:
            raise ValueError(f"class {name!r}: expected one of {', '.join(self.names)}")
        return torch.full((samples,), self.names.index(name))
