"""What every baseline that mends pictures provides, and what those share that fill holes and change nothing else."""

from abc import ABC, abstractmethod
from typing import ClassVar, Self

import numpy as np
from jaxtyping import Bool, Num, Shaped, UInt8

from components.data.statistics import Statistics
from components.section import Section

UNKNOWN_LEVEL = 127
"""What an image is filled with of which no pixel is known: mid-grey."""

Images = UInt8[np.ndarray, "images height width 3"]
"""RGB."""
Masks = Bool[np.ndarray, "images height width"]
"""True where missing."""
Levels = Num[np.ndarray, "images height width 3"]
"""In [0, 255]."""


class RestorationSection(Section, ABC):
    """A way to mend images that needs no training, which a trained inpainter must beat."""

    kind: str

    needs_statistics: ClassVar[bool] = False
    """Whether it is told how the training images' pixels go together, which classical methods are not."""

    def knowing(self, statistics: Statistics | None) -> Self:  # noqa: ARG002 - most are told nothing
        """Return the baseline that was told the statistics of the training images.

        Raises:
            ValueError: It needs them, and there are none.
        """
        return self

    @abstractmethod
    def restore(self, images: Images, missing: Masks) -> Images:
        """Return the images mended, as a new array; an image's result does not depend on its batch.

        Args:
            images: RGB; what lies under the mask is not looked at.
            missing: True where missing.

        Raises:
            ValueError: Types or shapes are other than these.
        """


class FillSection(RestorationSection):
    """A way to fill holes: it sees only known pixels and changes only missing ones."""

    def restore(self, images: Images, missing: Masks) -> Images:
        """Return the images with missing pixels filled from the known ones; known pixels are returned unchanged.

        The values that lie under the mask are not looked at, and an image's result does not depend on its batch. An
        image without a known pixel becomes mid-grey.

        Args:
            images: RGB.
            missing: True where missing.

        Returns:
            A new array.

        Raises:
            ValueError: Types or shapes are other than these.
        """
        check_pictures(images, missing)
        restored = images.copy()
        restored[missing] = UNKNOWN_LEVEL
        hidden = missing.any(axis=(1, 2))
        worked_on = np.flatnonzero(hidden & ~missing.all(axis=(1, 2)))
        if worked_on.size:
            filled = self._fill(restored[worked_on], missing[worked_on])
            restored[worked_on] = np.where(missing[worked_on][..., None], _to_bytes(filled), restored[worked_on])
        return restored

    @abstractmethod
    def _fill(self, images: Images, missing: Masks) -> Levels:
        """Return levels in [0, 255] for whole images; each has known and missing pixels, the latter mid-grey."""


def _to_bytes(levels: Levels) -> Images:
    if levels.dtype == np.uint8:
        return levels.astype(np.uint8, copy=False)
    return np.rint(levels.astype(np.float32, copy=False)).clip(0, 255).astype(np.uint8)


def check_pictures(images: Shaped[np.ndarray, "..."], missing: Shaped[np.ndarray, "..."]) -> None:
    """Raise ValueError unless images are uint8 (n, height, width, 3) and masks bool (n, height, width)."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"found images of {images.dtype}, shape {images.shape}, expected uint8 (n, height, width, 3)")
    if missing.dtype != np.bool_ or missing.shape != images.shape[:3]:
        raise ValueError(f"found a mask of {missing.dtype}, shape {missing.shape}, expected bool {images.shape[:3]}")
