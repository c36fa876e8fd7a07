"""Recipe: what the training loop needs of a model family, and Producer: what everyone else needs of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, UInt8

from components import seeding
from components.data.cache import PixelSource
from components.data.shardset import SplitFacts
from components.deferred.torch import Module, Tensor, nn, torch
from components.models.network import NetworkSection
from components.objectives.penalty import Pass
from components.recipes.interface import Interface, generating, mending
from components.section import Section
from components.training.phase import Phase

PRODUCER = "producer"
"""Name, in `Recipe.networks`, of the network that makes images; its average is evaluated, exported and served."""

Images = UInt8[np.ndarray, "images height width 3"]
Missing = Bool[np.ndarray, "images height width"]

_ROWS_AT_ONCE = 256
_Network = TypeVar("_Network", bound=Module)


@dataclass(frozen=True)
class Recipe:
    """Networks under the names a checkpoint gives them, and the phases that train them, in order."""

    networks: nn.ModuleDict
    phases: Sequence[Phase]
    passes: Sequence[Pass] = ()
    """Passes that also differentiate a network by its images, for a penalty; each is compiled as a whole."""

    def compile(self) -> None:
        """Have torch.compile take networks and passes from their next call on."""
        for network in self.networks.values():
            network.compile()
        for one in self.passes:
            one.compile()


class RecipeSection(Section, ABC):
    """The config section of a family, with what most families leave as it is here.

    A family derives from `GeneratorRecipe` or `RestorerRecipe`, by what its producer is.
    """

    kind: str

    @property
    def needs_classes(self) -> bool:
        """Whether training needs the classes of images."""
        return False

    @property
    def needs_corruption(self) -> bool:
        """Whether training draws masks and degradations."""
        return False

    @property
    def needs_statistics(self) -> bool:
        """Whether networks are told how the training images' pixels go together."""
        return False

    @property
    def channels_last_on_gpu(self) -> bool:
        """Whether a GPU is faster with these networks where channels lie last in memory."""
        return all(
            section.channels_last_on_gpu for section in vars(self).values() if isinstance(section, NetworkSection)
        )

    @property
    def features_trained_on(self) -> tuple[str, ...]:
        """sha256 of the weights of each trained network through whose features a loss looks; such may not judge."""
        return ()

    @property
    @abstractmethod
    def interface(self) -> Interface:
        """What a served model of this recipe takes and gives."""

    def resolved(self, training: SplitFacts) -> Self:  # noqa: ARG002 - nothing to settle
        """Return the section with all filled in that it leaves to the training images.

        Raises:
            ValueError: The training images lack what it needs.
        """
        return self

    def decisions(self, images: int) -> tuple[str, ...]:  # noqa: ARG002
        """Return what `resolved` decides for `images` training images, in words, for people who plan a run."""
        return ()

    def check(self, size: int, images: int | None = None) -> None:  # noqa: ARG002 - networks do not depend on it
        """Raise ValueError unless all can be built for `images` training images, if known, of `size` px."""
        for section in vars(self).values():
            if isinstance(section, NetworkSection):
                section.check(size)

    @abstractmethod
    def build(self, size: int, seed: int) -> "Recipe":
        """Return networks with their initial weights, and the phases that train them, in order."""

    @abstractmethod
    def serving_network(self, size: int) -> nn.Module:
        """Return the network that is exported and served, for weights to be loaded into."""

    def ready(self, network: nn.Module, seed: int) -> AbstractContextManager[None]:  # noqa: ARG002
        """Return a context within which an average of weights in training can be looked at, as it is from then on."""
        return nullcontext()

    def finished(self, network: nn.Module, training: PixelSource, seed: int) -> nn.Module:  # noqa: ARG002
        """Return the trained network with what is fitted to it afterwards: nothing, unless a family says otherwise."""
        return network

    @abstractmethod
    def example(self, size: int) -> tuple[Tensor, ...]:
        """Return inputs of the serving network for one image, of the right shapes; zeros."""

    @abstractmethod
    def producer(self, network: nn.Module) -> "Producer":
        """Return the network, in training or finished, behind the interface that evaluation and serving use."""


class GeneratorRecipe(RecipeSection):
    """A family that makes pictures from nothing but a seed."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, one of which a picture can be asked for; none unless the producer is a ClassGenerator."""
        return ()

    @property
    def interface(self) -> Interface:
        """What a served model of this recipe takes and gives."""
        return generating(self.class_names)

    @abstractmethod
    def producer(self, network: nn.Module) -> "Generator":
        """Return the network, in training or finished, behind the interface that evaluation and serving use."""


class RestorerRecipe(RecipeSection):
    """A family that mends pictures, and learns to on pictures that are damaged for it."""

    @property
    def needs_corruption(self) -> bool:
        """Whether training draws masks and degradations."""
        return True

    @property
    def interface(self) -> Interface:
        """What a served model of this recipe takes and gives."""
        return mending()

    @abstractmethod
    def producer(self, network: nn.Module) -> "Restorer":
        """Return the network, in training or finished, behind the interface that evaluation and serving use."""


@runtime_checkable
class Generator(Protocol):
    """Makes pictures from nothing but a seed."""

    def generate(self, samples: int, seed: int, first: int = 0) -> Images:
        """Return the pictures numbered `first` and on of the draw `seed`.

        Each is the same, to the rounding of a pixel, whatever others are made with it.
        """
        ...


@runtime_checkable
class ClassGenerator(Generator, Protocol):
    """A Generator that can be told the class of what it makes."""

    classes: tuple[str, ...]
    """The classes' names."""

    def generate_class(self, name: str, samples: int, seed: int, first: int = 0) -> Images:
        """Return the pictures numbered `first` and on of the draw `seed`, all of one class."""
        ...


@runtime_checkable
class Reconstructor(Protocol):
    """Passes pictures through a bottleneck and back."""

    def reconstruct(self, images: Images) -> Images:
        """Return what is left of `images`."""
        ...


@dataclass(frozen=True)
class Bound:
    """The negative evidence lower bound of pictures in its two halves, and the codes behind it."""

    distortion: Float[np.ndarray, " images"]
    """Nats to name each 8-bit picture once a draw of its code is known."""
    rate: Float[np.ndarray, " images"]
    """Divergence of each picture's code from the prior, in nats."""
    means: Float[np.ndarray, "images latent"]
    """Mean of each picture's code."""
    observation: dict[str, str | int]
    """How what is decoded becomes the probability of an 8-bit picture, for the protocol."""


@runtime_checkable
class LatentModel(Protocol):
    """Has a code for every picture and a picture for every code."""

    def bound(self, images: Images, calibration: Images, seed: int) -> Bound:
        """Return the bound on the likelihood of `images`; what it leaves open is fitted to `calibration`."""
        ...

    def between(self, first: Images, second: Images, steps: int) -> Sequence[Images]:
        """Return `steps` views of the ways from `first` to `second`, each with a picture per pair."""
        ...

    def between_draws(self, pairs: int, steps: int, seed: int) -> Sequence[Images]:
        """Return `steps` views of the ways between the pictures 2n and 2n + 1 of the draw `seed`."""
        ...


@runtime_checkable
class Restorer(Protocol):
    """Mends pictures."""

    stride: int
    """Height and width must be multiples of this."""
    reach_px: float
    """How far from known pixels it is trusted in photographs of any size; wider holes begin from a smaller copy."""
    restores_known: bool
    """Whether it changes pixels that are not missing too: it undoes noise, blur and other damage that hides nothing."""

    def restore(self, corrupted: Images, missing: Missing) -> Images:
        """Return whole pictures; unless `restores_known`, pixels that are not missing are returned untouched."""
        ...


Producer = Generator | Restorer
"""What a trained model is to all who use it. What else it can, such as to reconstruct, `isinstance` tells."""


def row_blocks(rows: int) -> Iterator[slice]:
    """Return slices that cover `rows` rows in blocks small enough for memory."""
    return blocks_of(slice(0, rows), _ROWS_AT_ONCE)


def blocks_of(rows: slice, block: int) -> Iterator[slice]:
    """Yield `rows` in blocks of `block`, the last of which may be shorter."""
    for start in range(rows.start, rows.stop, block):
        yield slice(start, min(start + block, rows.stop))


def device_of(network: nn.Module) -> torch.device:
    """Return where a network's weights are."""
    return next(network.parameters()).device


def expect(network: nn.Module, kind: type[_Network]) -> _Network:
    """Return a network as the kind of network that it is.

    Raises:
        TypeError: It is another one, of another family perhaps.
    """
    if not isinstance(network, kind):
        raise TypeError(f"found a network {type(network).__name__}, expected {kind.__name__}")
    return network


def latents_of(samples: int, latent: int, seed: int, first: int = 0) -> Float[Tensor, "samples latent"]:
    """Return standard normal latents, numbered `first` and on.

    Each has a stream of its own, so that more samples extend fewer.

    Raises:
        ValueError: No samples are asked for.
    """
    if samples < 1:
        raise ValueError(f"{samples} pictures were asked for, expected at least 1")
    numbers = range(first, first + samples)
    return torch.stack([torch.randn(latent, generator=seeding.torch_generator(seed, "sample", n)) for n in numbers])
