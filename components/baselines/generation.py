"""Images made without a model: noise, and training images slightly altered. A trained generator must beat both."""

from abc import ABC, abstractmethod
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from components.section import Section
from components.seeding import numpy_generator

Images = NDArray[np.uint8]


class GenerationSection(Section, ABC):
    """A way to make images that needs no training."""

    kind: str

    def generate(self, samples: int, size: int, training_images: Images, seed: int, first: int = 0) -> Images:
        """Return `samples` images; each depends on the seed and its own number alone, not on how many are made.

        Args:
            samples: How many, at least 0.
            size: Side in pixels, at least 8.
            training_images: uint8 RGB, shape (n, size, size, 3).
            seed: The run's seed.
            first: Number of the first image.

        Returns:
            uint8 RGB, shape (samples, size, size, 3).

        Raises:
            ValueError: A number is out of range, or the training images are none or of another type or size.
        """
        if samples < 0 or size < 8:
            raise ValueError(f"found {samples} samples of {size} px, expected at least 0 samples of at least 8 px")
        expected = (size, size, 3)
        if training_images.dtype != np.uint8 or training_images.shape[1:] != expected or not len(training_images):
            found = f"{training_images.dtype}, shape {training_images.shape}"
            raise ValueError(f"found training images of {found}, expected uint8 (at least 1, {size}, {size}, 3)")
        generated = np.empty((samples, *expected), dtype=np.uint8)
        for place in range(samples):
            rng = numpy_generator(seed, "baseline", self.kind, first + place)
            generated[place] = self._generate(training_images, rng)
        return generated

    @abstractmethod
    def _generate(self, training_images: Images, rng: np.random.Generator) -> Images:
        """Return one image of the training images' size."""


class Random(GenerationSection):
    """Uniform noise, every channel of every pixel on its own: the floor of any score."""

    kind: Literal["random"] = "random"

    def _generate(self, training_images: Images, rng: np.random.Generator) -> Images:
        return rng.integers(0, 256, training_images.shape[1:], dtype=np.uint8)


class Template(GenerationSection):
    """A training image with its colours, place and some patches changed: what copying alone can reach."""

    kind: Literal["template"] = "template"
    colour: float = Field(default=0.2, ge=0, le=1)
    """Most by which each channel's gain departs from 1, and its offset from 0 in units of the full range."""
    shift: float = Field(default=0.125, ge=0, le=0.5)
    """Farthest shift along each axis, as a fraction of the side; the image is mirrored at its edge."""
    flip: bool = True
    """Whether half of the images are mirrored left to right."""
    patches: int = Field(default=2, ge=0, le=64)
    """Most patches that are taken from the same place of other training images; 0 to this many are."""

    def _generate(self, training_images: Images, rng: np.random.Generator) -> Images:
        image = training_images[rng.integers(len(training_images))].copy()
        for _ in range(int(rng.integers(self.patches + 1))):
            _swap_patch(image, training_images[rng.integers(len(training_images))], rng)
        if rng.random() < 0.5 and self.flip:
            image = image[:, ::-1]
        return _recoloured(_shifted(image, self.shift, rng), self.colour, rng)


def _swap_patch(image: Images, other: Images, rng: np.random.Generator) -> None:
    """Copy a box of a quarter to a half of the side from `other`, in place."""
    side = image.shape[0]
    height, width = rng.integers(side // 4, side // 2 + 1, 2)
    top, left = rng.integers(0, side - height + 1), rng.integers(0, side - width + 1)
    image[top : top + height, left : left + width] = other[top : top + height, left : left + width]


def _shifted(image: Images, shift: float, rng: np.random.Generator) -> Images:
    side = image.shape[0]
    reach = int(shift * side)
    down, right = rng.integers(0, 2 * reach + 1, 2)
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode="symmetric")
    return padded[down : down + side, right : right + side]


def _recoloured(image: Images, colour: float, rng: np.random.Generator) -> Images:
    gain = 1 + colour * rng.uniform(-1, 1, 3)
    offset = 255 * colour * rng.uniform(-1, 1, 3)
    return np.rint(image * gain + offset).clip(0, 255).astype(np.uint8)
