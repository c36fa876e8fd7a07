"""SSIM: structural similarity of pictures, as a map and as one number per picture."""

import numpy as np
import scipy  # its parts are imported when they are first used
from jaxtyping import Float64, UInt8
from numpy.typing import NDArray

_SIGMA = 1.5
_RADIUS = 5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

Pictures = UInt8[np.ndarray, "images height width 3"]


def ssim_map(one: Pictures, other: Pictures) -> Float64[np.ndarray, "images height width"]:
    """Return the structural similarity around every pixel, averaged over the channels.

    Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861: Gaussian window of 11 × 11 pixels with deviation 1.5,
    K1 = 0.01, K2 = 0.03, range 255. At the edge the picture is mirrored.
    """
    x, y = one.astype(np.float64), other.astype(np.float64)
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x = _blur(x * x) - mean_x**2
    variance_y = _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    scale = (mean_x**2 + mean_y**2 + _C1) * (variance_x + variance_y + _C2)
    similarity: NDArray[np.float64] = (likeness / scale).mean(axis=3)
    return similarity


def inner_mean(similarity: Float64[np.ndarray, "images height width"]) -> Float64[np.ndarray, " images"]:
    """Return each map's mean over the pixels around which the whole window lies inside the picture.

    The whole map is averaged where the picture is too small for the window (10 pixels or fewer).
    """
    if min(similarity.shape[1:]) > 2 * _RADIUS:
        similarity = similarity[:, _RADIUS:-_RADIUS, _RADIUS:-_RADIUS]
    means: NDArray[np.float64] = similarity.mean(axis=(1, 2))
    return means


def _blur(
    values: Float64[np.ndarray, "images height width 3"],
) -> Float64[np.ndarray, "images height width 3"]:
    blurred: NDArray[np.float64] = scipy.ndimage.gaussian_filter(
        values, (0, _SIGMA, _SIGMA, 0), radius=(0, _RADIUS, _RADIUS, 0)
    )
    return blurred
