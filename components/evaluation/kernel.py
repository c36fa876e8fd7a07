"""Kernel distance: the squared maximum mean discrepancy of two sets of features under a cubic kernel.

Bińkowski et al. 2018, https://arxiv.org/abs/1801.01401. Unbiased, so it may be below 0, and a few hundred images are
enough to order networks, where the Fréchet distance is dominated by its bias.
"""

from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray
from torch import Tensor

_Products = TypeVar("_Products", NDArray[np.float64], Tensor)


class Similarity(NamedTuple):
    """What a set of images has in common with itself."""

    total: float
    """Kernel summed over all pairs of its images."""
    diagonal: float
    """The part of it of pairs of an image with itself."""
    images: int


def cubic_kernel(products: _Products, features: int) -> _Products:
    """Return (x·y / features + 1)³ from the products x·y of features."""
    kernel: _Products = (products / features + 1) ** 3
    return kernel


def discrepancy(one: Similarity, other: Similarity, across: float) -> float:
    """Return the unbiased squared discrepancy of two sets.

    Args:
        one: The first set.
        other: The second set.
        across: Kernel summed over all pairs of an image of the first set with one of the second.
    """
    return _within(one) + _within(other) - 2 * (across / (one.images * other.images))


def kernel_distance(made: Float64[np.ndarray, "made features"], real: Float64[np.ndarray, "real features"]) -> float:
    """Return the unbiased squared discrepancy of two sets of features (images, features)."""

    def similarity(features: Float64[np.ndarray, "images features"]) -> Similarity:
        pairs = cubic_kernel(features @ features.T, features.shape[1])
        return Similarity(float(pairs.sum()), float(np.trace(pairs)), len(features))

    across = cubic_kernel(made @ real.T, made.shape[1])
    return discrepancy(similarity(made), similarity(real), float(across.sum()))


def _within(one: Similarity) -> float:
    return (one.total - one.diagonal) / (one.images * (one.images - 1))
