"""95 % intervals: the bootstrap for means over images, the delete-a-group jackknife for scores of whole sets."""

import numpy as np
import scipy  # its parts are imported when they are first used
from jaxtyping import Float64, Int64

from components.seeding import numpy_generator

RESAMPLES = 1000
_TAIL = 0.025


def bootstrap_means(
    values: Float64[np.ndarray, "images scores"], seed: int
) -> tuple[Float64[np.ndarray, " scores"], Float64[np.ndarray, " scores"]]:
    """Return the 95 % interval of each column's mean by resampling rows with replacement.

    The percentile bootstrap of Efron 1979, https://doi.org/10.1214/aos/1176344552, with 1000 resamples. All columns
    share the resampled rows. The interval is widened to hold the mean itself where few rows leave it outside.

    Args:
        values: Shape (images, metrics), at least one image.
        seed: Equal seeds and counts draw equal resamples.

    Returns:
        Lower and upper ends, shape (metrics,) each.
    """
    images = len(values)
    generator = numpy_generator(seed, "bootstrap", images)
    means = np.empty((RESAMPLES, values.shape[1]))
    for row in means:
        row[:] = values[generator.integers(images, size=images)].mean(axis=0)
    low, high = np.quantile(means, [_TAIL, 1 - _TAIL], axis=0)
    mean = values.mean(axis=0)
    return np.minimum(low, mean), np.maximum(high, mean)


def jackknife_halfwidth(replicates: Float64[np.ndarray, " groups"]) -> float:
    """Return half the width of the 95 % interval of a score from its values with one group of images left out each.

    The delete-a-group jackknife (Shao and Tu 1995, The Jackknife and Bootstrap, section 2.3) with Student's quantile.
    It is used for scores of whole sets because a bootstrap repeats images: repeats have zero distance to themselves,
    which breaks nearest neighbours and the unbiased kernel distance, and a Fréchet distance is biased by the number of
    distinct images. Leaving out moves every replicate's bias alike, and a spread does not feel a common shift.

    Args:
        replicates: One value per group left out, at least two.
    """
    groups = len(replicates)
    variance = (groups - 1) / groups * np.square(replicates - replicates.mean()).sum()
    return float(scipy.special.stdtrit(groups - 1, 1 - _TAIL) * np.sqrt(variance))


def random_groups(samples: int, groups: int, seed: int, name: str) -> list[Int64[np.ndarray, " group"]]:
    """Return a seeded partition of 0..samples-1 into `groups` parts whose sizes differ by at most one."""
    order = numpy_generator(seed, "groups", name, samples).permutation(samples)
    return np.array_split(order, groups)
