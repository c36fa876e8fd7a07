"""In which order images are seen: a function of seed, pass and dataset, not of processes or workers."""

import numpy as np
from numpy.typing import NDArray

from components.seeding import numpy_generator


def sample_order(seed: int, pass_number: int, dataset_digest: str, samples: int) -> NDArray[np.int64]:
    """Return the order in which pass `pass_number` over the dataset visits its images, each once.

    Args:
        seed: Seed of the run.
        pass_number: 0 for the first time through the data.
        dataset_digest: Digest of the ShardSet; other data, another order.
        samples: Number of images in the split.

    Returns:
        A permutation of 0 .. samples - 1.
    """
    return numpy_generator(seed, "order", pass_number, dataset_digest).permutation(samples)
