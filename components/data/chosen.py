"""Chosen: some images of a split as if there were no others."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from components.data.cache import PixelSource
from components.data.keys import ChosenKeys
from components.data.order import Samples
from components.data.reader import Pictures


@dataclass(frozen=True)
class ChosenPixels:
    """The images of another source that have these numbers, in this order."""

    whole: PixelSource
    numbers: Int64[np.ndarray, " images"]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.numbers)

    def take(self, indices: Int64[np.ndarray, " some"], /, axis: int = 0) -> Pictures:
        """Return images by number as a fresh array; `axis` is always 0."""
        return self.whole.take(self.numbers[indices], axis=axis)


def without(samples: Samples, left_out: Collection[str]) -> Samples:
    """Return the samples but for those with these keys.

    Raises:
        ValueError: None would be left.
    """
    unwanted = set(left_out)
    numbers = np.fromiter((number for number, key in enumerate(samples.keys) if key not in unwanted), np.int64)
    if not len(numbers):
        raise ValueError(
            f"all {len(samples.keys):,} images to train on are near-copies of held-out ones; "
            "add data, or set dataset.near_copies: kept"
        )
    return Samples(
        ChosenPixels(samples.pixels, numbers),
        ChosenKeys(samples.keys, numbers),
        samples.digest,
        None if samples.labels is None else samples.labels[numbers],
        None if samples.windows is None else samples.windows.only(numbers),
    )
