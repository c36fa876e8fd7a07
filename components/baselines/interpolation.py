"""Linear interpolation over triangles between the known pixels around a hole."""

from typing import Literal

import cv2
import numpy as np
import scipy  # its parts are imported when they are first used
from numpy.typing import NDArray

from components.baselines.restoration import FillSection, Images, Masks

_RING_PX = 2


class Interpolation(FillSection):
    """Linear over the Delaunay triangles of the known pixels; the nearest known pixel outside all triangles.

    Only known pixels within 2 px of a hole are triangulated: no others can be a corner of a triangle that covers a
    missing pixel, and large images stay affordable.
    """

    kind: Literal["interpolation"] = "interpolation"

    def _fill(self, images: Images, missing: Masks) -> NDArray[np.generic]:
        return np.stack([_interpolated(image, mask) for image, mask in zip(images, missing, strict=True)])


def _interpolated(image: Images, missing: Masks) -> NDArray[np.float32]:
    nearest = scipy.ndimage.distance_transform_edt(missing, return_distances=False, return_indices=True)
    filled: NDArray[np.float32] = image[tuple(nearest)].astype(np.float32)
    reach = 2 * _RING_PX + 1
    near = cv2.dilate(missing.astype(np.uint8), np.ones((reach, reach), dtype=np.uint8)).astype(bool)
    ring = near & ~missing
    try:
        surface = scipy.interpolate.LinearNDInterpolator(np.argwhere(ring), image[ring].astype(np.float64))
    except scipy.spatial.QhullError:  # fewer than three known pixels near the hole, or all in one line: no triangle
        return filled
    levels = surface(np.argwhere(missing))
    filled[missing] = np.where(np.isnan(levels), filled[missing], levels)
    return filled
