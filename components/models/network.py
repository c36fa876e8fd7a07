"""What every network provides: the contracts of the sections that configure networks, and of inpainters themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from jaxtyping import Float

from components.deferred.torch import Module, Tensor, nn
from components.section import Section


class NetworkSection(Section, ABC):
    """Configures a network, and knows of which images one can be built."""

    kind: str

    channels_last_on_gpu: ClassVar[bool] = True
    """Whether a GPU is faster with this network where channels lie last in memory, as a CPU is with all."""

    def check(self, size: int) -> None:
        """Raise ValueError unless the network can be built for images of `size` px: 4 px doubled once or more."""
        doublings(size)


class GeneratorSection(NetworkSection):
    """Configures a network from noise (batch, latent) and classes (batch), if any, to images in [-1, 1]."""

    latent: int
    """Numbers of noise per image."""

    def build(self, size: int, classes: int = 0) -> nn.Module:
        """Return the network for images of `size` px and of `classes` classes, if any.

        Weights are drawn from torch's global stream.

        Raises:
            ValueError: See `check`.
        """
        self.check(size)
        return self._build(size, classes)

    @abstractmethod
    def _build(self, size: int, classes: int) -> nn.Module: ...


class DiscriminatorSection(NetworkSection):
    """Configures a network from images in [-1, 1] and classes (batch), if any, to a logit (batch) above 0 for real."""

    @property
    def mixes_samples(self) -> bool:
        """Whether an image's logit depends on the rest of its batch."""
        return False

    @property
    def features_trained_on(self) -> tuple[str, ...]:
        """sha256 of the weights of each trained network through whose features it looks; such may not judge."""
        return ()

    def build(self, size: int, classes: int = 0) -> nn.Module:
        """Return the network for images of `size` px and of `classes` classes, if any.

        Weights are drawn from torch's global stream.

        Raises:
            ValueError: See `check`.
        """
        self.check(size)
        return self._build(size, classes)

    @abstractmethod
    def _build(self, size: int, classes: int) -> nn.Module: ...


class Judge(Module, ABC):
    """A discriminator, whose first layers a training that goes on from another's weights may keep as they are."""

    @abstractmethod
    def layers(self) -> Sequence[nn.Module]:
        """Return its layers from the image on, the one that makes logits left out."""


class Inpainter(Module, ABC):
    """A network that mends images of any size that its stride divides."""

    stride: int
    """Height and width must be multiples of this many pixels."""
    correction: Tensor | None
    """Deviation, over pixels, of what the last pass in training added to the first guess; None where a network does not
    tell."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("correction", None, persistent=False)

    @abstractmethod
    def forward(
        self, corrupted: Float[Tensor, "batch 3 height width"], missing: Float[Tensor, "batch 1 height width"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Return the whole mended image in [-1, 1]; what missing pixels of `corrupted` hold is never read."""


class InpainterSection(NetworkSection):
    """Configures an inpainter."""

    @property
    @abstractmethod
    def stride(self) -> int:
        """Height and width must be multiples of this many pixels."""

    @property
    def needs_statistics(self) -> bool:
        """Whether the network is told how the training images' pixels go together."""
        return False

    def check(self, size: int) -> None:
        """Raise ValueError unless `size` is a multiple of the stride."""
        if size < self.stride or size % self.stride:
            raise ValueError(
                f"found images of {size} px, expected a multiple of {self.stride} px, the network's stride"
            )

    def build(self, size: int) -> Inpainter:
        """Return the network for images of `size` px, with weights drawn from torch's global stream.

        Raises:
            ValueError: See `check`.
        """
        self.check(size)
        return self._build(size)

    @abstractmethod
    def _build(self, size: int) -> Inpainter: ...


def doublings(size: int) -> int:
    """Return k of `size` = 4 · 2^k pixels, the number of layers that halve or double a square image's side.

    Raises:
        ValueError: `size` is not 8, 16, 32, 64 ... pixels.
    """
    count = size.bit_length() - 3
    if count < 1 or size != 4 << count:
        raise ValueError(f"found images of {size} px, expected 8, 16, 32, 64 ... (4 px doubled one or more times)")
    return count
