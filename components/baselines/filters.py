"""What a degraded picture must be mended better than: nothing done at all, and two classical filters of whole pictures.

Unlike fills they may change known pixels, for noise and compression spoil pixels without hiding them.
"""

from abc import abstractmethod
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from components.baselines.filling import Telea
from components.baselines.restoration import UNKNOWN_LEVEL, Images, Masks, RestorationSection, check_pictures


class Untouched(RestorationSection):
    """Nothing is done: pictures stay as they came, with missing pixels mid-grey."""

    kind: Literal["untouched"] = "untouched"

    def restore(self, images: Images, missing: Masks) -> Images:
        """Return a copy of the images with missing pixels mid-grey.

        Raises:
            ValueError: Types or shapes are other than those of `RestorationSection.restore`.
        """
        check_pictures(images, missing)
        return np.where(missing[..., None], np.uint8(UNKNOWN_LEVEL), images)


class FilterSection(RestorationSection):
    """A filter that changes the whole picture; holes are filled by Telea's method first."""

    def restore(self, images: Images, missing: Masks) -> Images:
        """Return the filtered images; what missing pixels hold is not looked at.

        Raises:
            ValueError: Types or shapes are other than those of `RestorationSection.restore`.
        """
        filled = Telea().restore(images, missing)
        for place, image in enumerate(filled):
            filled[place] = self._filtered(image)
        return filled

    @abstractmethod
    def _filtered(self, image: Images) -> NDArray[np.generic]:
        """Return one image, shape (height, width, 3), filtered."""


class Median(FilterSection):
    """Each pixel becomes the median of its neighbourhood, per channel: against single wrong pixels and thin lines."""

    kind: Literal["median"] = "median"
    side_px: Literal[3, 5, 7] = 3
    """Side of the neighbourhood, in pixels."""

    def _filtered(self, image: Images) -> NDArray[np.generic]:
        return np.asarray(cv2.medianBlur(image, self.side_px))


class Bilateral(FilterSection):
    """A mean over near pixels of like colour, by OpenCV: against noise (Tomasi and Manduchi 1998).

    https://doi.org/10.1109/ICCV.1998.710815
    """

    kind: Literal["bilateral"] = "bilateral"
    colour_levels: float = Field(default=40.0, gt=0, le=255)
    """Deviation of the weight by difference of colour, in levels of 255."""
    reach_px: float = Field(default=1.5, gt=0, le=16)
    """Deviation of the weight by distance, in pixels."""

    def _filtered(self, image: Images) -> NDArray[np.generic]:
        return np.asarray(cv2.bilateralFilter(image, 0, self.colour_levels, self.reach_px))
