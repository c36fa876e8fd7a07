"""The fill that bends least: the bi-Laplace equation, which carries slopes into the hole."""

from typing import Literal

import numpy as np
import skimage  # its parts are imported when they are first used
from numpy.typing import NDArray

from components.baselines.restoration import FillSection, Images, Masks


class Biharmonic(FillSection):
    """Solves the bi-Laplace equation in the hole (Damelin and Hoang 2018, https://doi.org/10.1155/2018/3950312).

    By scikit-image, one sparse direct solution per image: best in thin holes, and slow in large ones.
    """

    kind: Literal["biharmonic"] = "biharmonic"

    def _fill(self, images: Images, missing: Masks) -> NDArray[np.generic]:
        pairs = zip(images, missing, strict=True)
        return 255 * np.stack(
            [skimage.restoration.inpaint_biharmonic(image, mask, channel_axis=-1) for image, mask in pairs]
        )
