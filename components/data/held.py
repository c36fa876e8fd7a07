"""The same endless batches, of a split that a GPU holds as a whole: gathered, mirrored and scaled there."""

from collections.abc import Generator

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from components.data.batch import Batch
from components.data.cache import DecodedPixels
from components.data.chosen import ChosenPixels
from components.data.order import Order, Samples, Share
from components.pictures.pixels import scaled

_MOST_OF_FREE = 0.25
"""Share of a device's free memory that a split may take; networks come later and need the rest."""


class HeldLoader:
    """Loads batches in the order of the run from pixels in a device's memory. Nothing is damaged."""

    def __init__(self, samples: Samples, share: Share, device: torch.device, *, seed: int, flip: bool = False) -> None:
        """Copy the split to the device.

        Args:
            samples: What the passes go over.
            share: Which rows of every global batch are loaded.
            device: Where the split is held, and batches are made.
            seed: Seed of the run.
            flip: Mirror every other image, drawn anew in each pass.
        """
        self._share, self._seed = share, seed
        self._order = Order(samples, share, seed=seed, flip=flip)
        whole = samples.pixels.take(np.arange(len(samples.pixels)), axis=0)
        self._pixels: UInt8[Tensor, "images height width 3"] = torch.from_numpy(whole).to(device)
        self._labels = None if samples.labels is None else torch.from_numpy(samples.labels).to(device)

    def batches(self, first_image: int) -> Generator[Batch, None, None]:
        """Yield the batches that begin with image number `first_image`, without end."""
        while True:
            yield self._load(first_image)
            first_image += self._share.batch

    def _load(self, first_image: int) -> Batch:
        rows = self._order.rows(first_image)
        numbers, mirrored = self._placed(rows.numbers), self._placed(rows.mirrored)
        images = self._pixels[numbers]
        images = torch.where(mirrored.view(-1, 1, 1, 1), images.flip(2), images)
        return Batch(
            images=scaled(images),
            corrupted=None,
            missing=None,
            seed=self._seed,
            first_image=first_image,
            offset=self._share.offset,
            global_size=self._share.batch,
            labels=None if self._labels is None else self._labels[numbers],
        )

    def _placed(self, values: np.ndarray) -> Tensor:
        held = torch.from_numpy(values)
        device = self._pixels.device
        return (held.pin_memory() if device.type == "cuda" else held).to(device, non_blocking=True)


def fits(samples: Samples, device: torch.device) -> bool:
    """Return whether a GPU has room for a split that is decoded as a whole; on a CPU there is nothing to gain."""
    pixels = samples.pixels.whole if isinstance(samples.pixels, ChosenPixels) else samples.pixels
    if device.type != "cuda" or not isinstance(pixels, DecodedPixels):
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return pixels.nbytes <= _MOST_OF_FREE * free
