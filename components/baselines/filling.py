"""Fills that look at each image once: its mean colour, and OpenCV's two marching methods."""

from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from components.baselines.restoration import FillSection, Images, Masks


class MeanFill(FillSection):
    """Every missing pixel gets the mean colour of the known ones."""

    kind: Literal["mean_fill"] = "mean_fill"

    def _fill(self, images: Images, missing: Masks) -> NDArray[np.generic]:
        known = ~missing[..., None]
        total = (images * known).sum(axis=(1, 2), dtype=np.int64)
        mean = total / known.sum(axis=(1, 2))
        return np.broadcast_to(mean[:, None, None, :], images.shape).astype(np.float32)


class _Marching(FillSection):
    """OpenCV's inpainting from the hole's rim inwards."""

    radius_px: float = Field(default=3.0, gt=0, le=64)
    """Radius of the neighbourhood that a missing pixel is computed from, in pixels."""

    method: ClassVar[int]

    def _fill(self, images: Images, missing: Masks) -> NDArray[np.generic]:
        pairs = zip(images, missing.view(np.uint8), strict=True)
        return np.stack([cv2.inpaint(image, mask, self.radius_px, self.method) for image, mask in pairs])


class Telea(_Marching):
    """Fast marching (Telea 2004, https://doi.org/10.1080/10867651.2004.10487596), by OpenCV."""

    kind: Literal["telea"] = "telea"
    method: ClassVar[int] = cv2.INPAINT_TELEA


class NavierStokes(_Marching):
    """Isophotes carried on as in a fluid, by OpenCV (Bertalmio et al. 2001, https://doi.org/10.1109/CVPR.2001.990497)."""

    kind: Literal["navier_stokes"] = "navier_stokes"
    method: ClassVar[int] = cv2.INPAINT_NS
