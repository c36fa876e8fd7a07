"""What every baseline that mends pictures provides, and what those share that fill holes and change nothing else."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from components.section import Section

UNKNOWN_LEVEL = 127
"""What an image is filled with of which no pixel is known: mid-grey."""

Images = NDArray[np.uint8]
Masks = NDArray[np.bool_]


class RestorationSection(Section, ABC):
    """A way to mend images that needs no training, which a trained inpainter must beat."""

    kind: str

    @abstractmethod
    def restore(self, images: Images, missing: Masks) -> Images:
        """Return the images mended, as a new array; an image's result does not depend on its batch.

        Args:
            images: uint8 RGB, shape (n, height, width, 3); what lies under the mask is not looked at.
            missing: True where missing, shape (n, height, width).

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
            images: uint8 RGB, shape (n, height, width, 3).
            missing: True where missing, shape (n, height, width).

        Returns:
            Shape (n, height, width, 3), a new array.

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
    def _fill(self, images: Images, missing: Masks) -> NDArray[np.generic]:
        """Return levels in [0, 255] for whole images; each has known and missing pixels, the latter mid-grey."""


def _to_bytes(levels: NDArray[np.generic]) -> Images:
    if levels.dtype == np.uint8:
        return levels.astype(np.uint8, copy=False)
    return np.rint(levels.astype(np.float32, copy=False)).clip(0, 255).astype(np.uint8)


def check_pictures(images: Images, missing: Masks) -> None:
    """Raise ValueError unless images are uint8 (n, height, width, 3) and masks bool (n, height, width)."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"found images of {images.dtype}, shape {images.shape}, expected uint8 (n, height, width, 3)")
    if missing.dtype != np.bool_ or missing.shape != images.shape[:3]:
        raise ValueError(f"found a mask of {missing.dtype}, shape {missing.shape}, expected bool {images.shape[:3]}")
