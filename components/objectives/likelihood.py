"""Likelihood: how probable an image is, given what a decoder says of each of its pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

from jaxtyping import Float

from components.deferred.torch import Tensor
from components.section import Section

Said = Float[Tensor, "batch numbers height width"]
"""What a decoder says of each pixel of each image; a likelihood knows what the numbers mean."""
Pictures = Float[Tensor, "batch 3 height width"]
"""In [-1, 1]."""
LevelNats = Callable[[Said, Pictures], Float[Tensor, " batch"]]
"""From what is said of images and the images, whose values are 8-bit levels, to -log P of each, in nats."""


class Likelihood(Section, ABC):
    """Configures how pixels stray from what is decoded, and so what a decoder must say of them."""

    kind: str

    @property
    @abstractmethod
    def numbers(self) -> int:
        """How many numbers a decoder says of each pixel."""

    @abstractmethod
    def picture(self, said: Said) -> Pictures:
        """Return the picture that is expected, the same each time: what is shown, judged and served.

        It is the mean and not a draw, because pixels are drawn independently once a code is known: a draw adds grain
        that no code asked for, and the mean is the picture of least squared error.
        """

    @abstractmethod
    def nats(self, said: Said, target: Pictures) -> Float[Tensor, ""]:
        """Return -log p(target), summed over pixels and averaged over the batch, in nats per image."""

    @abstractmethod
    def bits(self, nats: Float[Tensor, ""], dimensions: int) -> Float[Tensor, ""]:
        """Return `nats` per image, of which some are those of a code, as bits per colour value of an 8-bit image.

        Args:
            nats: Negative log-likelihood, or its bound, per image.
            dimensions: Colour values per image, 3 · height · width.
        """

    @abstractmethod
    def of_levels(self, examples: Iterable[tuple[Said, Pictures]]) -> LevelNats:
        """Return what measures held-out pictures, with all that training left open fitted to `examples`."""

    @abstractmethod
    def protocol(self, examples: int) -> dict[str, str | int]:
        """Return how `of_levels` makes probabilities, given so many examples: scores are compared where it is equal."""
